// Numbers, times and names as people read them. Nothing here touches the page.

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const compact = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });
const clockTime = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });
const clockSeconds = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const day = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short" });
const weekday = new Intl.DateTimeFormat("en-GB", { weekday: "short" });

// 1,234 below ten thousand, then 12.3K.
export function count(value) {
  const number = Number(value) || 0;
  return Math.abs(number) < 10_000 ? whole.format(number) : compact.format(number);
}

export const tokens = (value) => compact.format(Number(value) || 0);

// A part of a whole as 0…1, or null if there is no whole.
export function share(part, of) {
  return Number(of) > 0 ? Math.min(1, (Number(part) || 0) / of) : null;
}

// Never rounded to "all" or "nothing".
export function percent(part) {
  if (part === null || part === undefined) return "–";
  if (part > 0 && part < 0.01) return "<1 %";
  if (part < 1 && part > 0.99) return "99 %";
  return `${Math.round(part * 100)} %`;
}

export function money(dollars) {
  if (dollars === null || dollars === undefined) return null;
  if (dollars > 0 && dollars < 0.01) return "<$0.01";
  return dollars < 100 ? `$${dollars.toFixed(2)}` : `$${whole.format(dollars)}`;
}

// How long something took.
export function duration(ms) {
  if (ms === null || ms === undefined) return "–";
  if (ms < 1) return ms > 0 ? "<1 ms" : "0 ms";
  if (ms < SECOND) return `${Math.round(ms)} ms`;
  if (ms < 10 * SECOND) return `${(ms / SECOND).toFixed(1)} s`;
  if (ms < 2 * MINUTE) return `${Math.round(ms / SECOND)} s`;
  if (ms < HOUR) return `${Math.floor(ms / MINUTE)} min ${Math.round((ms % MINUTE) / SECOND)} s`;
  return span(ms);
}

export function micros(us) {
  if (us === null || us === undefined) return "–";
  return us < 1000 ? `${Math.round(us)} µs` : duration(us / 1000);
}

// A longer time, in its two largest units.
export function span(ms) {
  if (ms < MINUTE) return `${Math.max(0, Math.floor(ms / SECOND))} s`;
  if (ms < HOUR) return `${Math.floor(ms / MINUTE)} min`;
  if (ms < DAY) return two(Math.floor(ms / HOUR), "h", Math.floor((ms % HOUR) / MINUTE), "min");
  return two(Math.floor(ms / DAY), "d", Math.floor((ms % DAY) / HOUR), "h");
}

function two(large, largeUnit, small, smallUnit) {
  return small === 0 ? `${large} ${largeUnit}` : `${large} ${largeUnit} ${small} ${smallUnit}`;
}

// What is left until something, counting down: 0:42, 12:03, 3 h 20 min.
export function countdown(ms) {
  if (ms <= 0) return "0:00";
  const seconds = Math.ceil(ms / SECOND);
  if (seconds < 3600) return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
  return span(ms);
}

export function ago(ms) {
  return ms < SECOND ? "now" : `${span(ms)} ago`;
}

export const time = (at) => clockSeconds.format(at);

// When something will be: the time of day, with the day if it is not this one.
export function moment(at, now) {
  const far = Math.abs(at - now) > DAY * 6;
  if (far) return `${day.format(at)} ${clockTime.format(at)}`;
  const same = new Date(at).toDateString() === new Date(now).toDateString();
  const text = at - now < 10 * MINUTE && at > now ? clockSeconds.format(at) : clockTime.format(at);
  return same ? text : `${weekday.format(at)} ${clockTime.format(at)}`;
}

// The step of a chart, as its axis and its read-out name it.
export function stepTime(at, stepMs, long = false) {
  if (stepMs >= DAY) return day.format(at);
  if (stepMs >= HOUR && long) return `${day.format(at)} ${clockTime.format(at)}`;
  return clockTime.format(at);
}

export function bytes(value) {
  const number = Number(value) || 0;
  if (number < 1000) return `${number} B`;
  if (number < 1e6) return `${(number / 1e3).toFixed(number < 1e4 ? 1 : 0)} kB`;
  return `${(number / 1e6).toFixed(1)} MB`;
}

// "a", "a and b", "a, b and c", "a, b and 3 others"
export function names(list, most = 3) {
  if (list.length <= 1) return list[0] ?? "";
  const others = list.length - (most - 1);
  if (list.length > most) return `${list.slice(0, most - 1).join(", ")} and ${others} others`;
  return `${list.slice(0, -1).join(", ")} and ${list.at(-1)}`;
}

export const plural = (number, one, many = `${one}s`) => `${count(number)} ${number === 1 ? one : many}`;

// `input_tokens` as a word.
export const words = (name) => String(name ?? "").replaceAll("_", " ");
