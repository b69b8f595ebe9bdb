import { useSettings } from '../hooks';
import { changeSettings, shownTheme } from '../settings';
import { texts } from '../texts';
import { Icon } from './icons';

export function ThemeToggle() {
  useSettings();
  const now = shownTheme();
  const label = texts.theme.toggle(now);
  return (
    <button
      type="button"
      className="quiet round"
      aria-label={label}
      title={label}
      onClick={() => changeSettings({ theme: now === 'dark' ? 'light' : 'dark' })}
    >
      <Icon name={now === 'dark' ? 'sun' : 'moon'} size={20} />
    </button>
  );
}
