/** The worker that frames pass through: streams around a `Desk`. Keys come in as messages and never go out. */
import { Desk } from './desk';
import type { FromWorker, ToWorker, TransformOptions } from './protocol';

/** What of a worker's world is used here; the page's types do not know it. */
interface WorkerScope {
  onmessage: ((event: MessageEvent<ToWorker>) => void) | null;
  onrtctransform: ((event: { transformer: Transformer }) => void) | null;
  postMessage(message: FromWorker): void;
}

/** https://www.w3.org/TR/webrtc-encoded-transform/ */
interface Transformer {
  readonly options: TransformOptions;
  readonly readable: ReadableStream<EncodedFrame>;
  readonly writable: WritableStream<EncodedFrame>;
  sendKeyFrameRequest?(): Promise<void>;
}

interface EncodedFrame {
  data: ArrayBuffer;
  /** Of pictures only. */
  readonly type?: 'key' | 'delta' | 'empty';
  getMetadata(): { mimeType?: string; contributingSources?: number[] };
}

const scope = self as unknown as WorkerScope;
const desk = new Desk(news => scope.postMessage(news));

scope.onmessage = event => desk.hear(event.data);
scope.onrtctransform = ({ transformer }) => {
  const askKeyFrame = () => void transformer.sendKeyFrameRequest?.().catch(() => undefined);
  const place = desk.place(transformer.options, askKeyFrame);
  const work = new TransformStream<EncodedFrame, EncodedFrame>({
    async transform(frame, through) {
      const { mimeType, contributingSources = [] } = frame.getMetadata();
      const facts = { mimeType, isKeyFrame: frame.type === 'key', contributors: contributingSources };
      const done = await place.work(new Uint8Array(frame.data), facts);
      if (!done) return;
      frame.data = done.buffer;
      through.enqueue(frame);
    },
  });
  // It ends with the connection, by an error as often as not.
  void transformer.readable
    .pipeThrough(work)
    .pipeTo(transformer.writable)
    .catch(() => undefined)
    .finally(() => place.close());
};
