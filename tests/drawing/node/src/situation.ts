// What is to be drawn, from the address of the page: dash, theme, range (s), now (ms), width, prometheus, var-….
import { createTheme, dateTime, type TimeRange } from '@grafana/data';

const params = new URLSearchParams(location.search);

export const dash = params.get('dash')!;
export const prometheus = params.get('prometheus')!;
export const width = Number(params.get('width'));
export const theme = createTheme({ colors: { mode: params.get('theme') === 'light' ? 'light' : 'dark' } });
export const zone = 'utc';

const now = Number(params.get('now'));
const span = Number(params.get('range'));
export const range: TimeRange = {
  from: dateTime(now - span * 1000),
  to: dateTime(now),
  raw: { from: `now-${span}s`, to: 'now' },
};

/** The values of a variable that the address chooses; all of them where it does not say. */
export function chosen(variable: string): string[] {
  const values = params.getAll(`var-${variable}`);
  return values.length ? values : ['$__all'];
}

/** Let the clock of relative units ("3 hours ago") stand at the moment that is drawn. */
export function stopTheClock() {
  const Real = Date;
  window.Date = class extends Real {
    constructor(...parts: [number]) {
      if (parts.length) super(...parts);
      else super(now);
    }
    static now() {
      return now;
    }
  } as DateConstructor;
}
