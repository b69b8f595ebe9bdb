import { LyceumError, type Room } from '@lyceum/client';
import { type KeyboardEvent, useEffect, useLayoutEffect, useRef, useState } from 'react';
import { useRoom } from '../hooks';
import { Icon } from '../parts/icons';
import { texts } from '../texts';
import { textOf } from './announcer';
import { Side } from './side';

const EVENTS = ['messages', 'state', 'me'] as const;
/** The field grows to this many lines. */
const LINES_MAX = 6;
/** Whoever has scrolled further up than this reads old messages and is left there. */
const NEAR_END_PX = 80;
const TEXT_MAX = 4_000;

export function Chat({ room, onClose }: { room: Room; onClose: () => void }) {
  useRoom(room, EVENTS);
  const [text, setText] = useState('');
  const [problem, setProblem] = useState<string | null>(null);
  const list = useRef<HTMLDivElement>(null);
  const field = useRef<HTMLTextAreaElement>(null);
  const atEnd = useRef(true);
  const posted = room.log.posted.filter(message => message.kind === 'chat' && textOf(message.body) !== null);
  const pending = room.log.pending.filter(message => message.kind === 'chat');
  const length = posted.length + pending.length;
  const allowed = room.me?.grants.message ?? true;

  useEffect(() => field.current?.focus(), []);
  useLayoutEffect(() => {
    if (atEnd.current) list.current?.scrollTo({ top: list.current.scrollHeight });
  }, [length]);

  const send = () => {
    const said = text.trim();
    if (said === '') return;
    try {
      room.send('chat', { text: said });
      setText('');
      setProblem(null);
      atEnd.current = true;
    } catch (error) {
      setProblem(error instanceof LyceumError ? texts.errors[error.code] : texts.errors.internal);
    }
  };
  const pressed = (event: KeyboardEvent) => {
    if (event.key === 'Escape') onClose();
    if (event.key !== 'Enter' || event.shiftKey || event.nativeEvent.isComposing) return;
    event.preventDefault();
    send();
  };

  return (
    <Side heading={texts.chat.heading} onClose={onClose}>
      <div
        ref={list}
        className="chat-list"
        role="log"
        aria-live="polite"
        aria-label={texts.chat.heading}
        tabIndex={0}
        onScroll={({ currentTarget: { scrollHeight, scrollTop, clientHeight } }) => {
          atEnd.current = scrollHeight - scrollTop - clientHeight < NEAR_END_PX;
        }}
      >
        {length === 0 && <p className="chat-empty">{texts.chat.empty}</p>}
        <ol>
          {posted.map((message, i) => {
            const before = posted[i - 1];
            const follows = before?.from === message.from && message.sent_at_ms - before.sent_at_ms < 120_000;
            return (
              <li
                key={`${message.number}/${message.id}`}
                className={room.log.isMine(message) ? 'said mine' : 'said'}
              >
                {!follows && (
                  <p className="said-by">
                    <strong>{message.name}</strong> <time>{clock(message.sent_at_ms)}</time>
                  </p>
                )}
                <p className="said-text">{textOf(message.body)}</p>
              </li>
            );
          })}
          {pending.map(message => (
            <li key={message.id} className="said mine pending">
              <p className="said-text">{textOf(message.body)}</p>
              <p className="said-state">
                {message.refused === null ? texts.chat.sending : texts.chat.refused(message.refused)}
              </p>
            </li>
          ))}
        </ol>
      </div>
      {!allowed && <p className="notice">{texts.chat.notAllowed}</p>}
      {room.state.phase === 'reconnecting' && <p className="notice">{texts.chat.waiting}</p>}
      {problem !== null && (
        <p className="problem" role="alert">
          {problem}
        </p>
      )}
      <form
        className="chat-write"
        onSubmit={event => {
          event.preventDefault();
          send();
        }}
      >
        <textarea
          ref={field}
          value={text}
          aria-label={texts.chat.write}
          placeholder={texts.chat.write}
          rows={Math.min(LINES_MAX, text.split('\n').length)}
          maxLength={TEXT_MAX}
          disabled={!allowed}
          onChange={event => setText(event.target.value)}
          onKeyDown={pressed}
        />
        <button
          type="submit"
          className="send round"
          aria-label={texts.chat.send}
          disabled={!allowed || text.trim() === ''}
        >
          <Icon name="send" size={20} />
        </button>
      </form>
    </Side>
  );
}

function clock(ms: number): string {
  return new Date(ms).toLocaleTimeString([], { hour: '2-digit', minute: '2-digit' });
}
