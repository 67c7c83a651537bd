// Times as people read them, in the browser's time zone unless another one is given.

const HOUR_MS = 3_600_000;

/** Ranges that end now, by their name in the address. @type {Readonly<Record<string, { label: string, hours: number }>>} */
export const RANGES = {
  "1h": { label: "Last hour", hours: 1 },
  "24h": { label: "Last 24 hours", hours: 24 },
  "7d": { label: "Last 7 days", hours: 168 },
};

/**
 * Return the time of day: "10:30:45".
 * @param {string} time
 * @param {string} [zone]
 * @returns {string}
 */
export function clockTime(time, zone) {
  return formatted(time, { hour: "2-digit", minute: "2-digit", second: "2-digit", timeZone: zone });
}

/**
 * Return the whole time with its zone: "Fri, 20 Nov 2026, 10:30:45 UTC".
 * @param {string} time
 * @param {string} [zone]
 * @returns {string}
 */
export function fullTime(time, zone) {
  return formatted(time, {
    weekday: "short",
    day: "numeric",
    month: "short",
    year: "numeric",
    hour: "2-digit",
    minute: "2-digit",
    second: "2-digit",
    timeZone: zone,
    timeZoneName: "short",
  });
}

/**
 * Return day and time: "20 Nov, 10:30:45".
 * @param {string} time
 * @param {string} [zone]
 * @returns {string}
 */
export function dateAndTime(time, zone) {
  return formatted(time, {
    day: "numeric",
    month: "short",
    hour: "2-digit",
    minute: "2-digit",
    second: "2-digit",
    timeZone: zone,
  });
}

/**
 * Return the day of a time: Today, Yesterday, or the date.
 * @param {string} time
 * @param {Date} now
 * @param {string} [zone]
 * @returns {string}
 */
export function dayOf(time, now, zone) {
  const day = calendarDay(new Date(time), zone);
  if (day === calendarDay(now, zone)) return "Today";
  if (day === calendarDay(new Date(now.getTime() - 24 * HOUR_MS), zone)) return "Yesterday";
  return formatted(time, { weekday: "long", day: "numeric", month: "long", year: "numeric", timeZone: zone });
}

/**
 * Return how long ago a time was: "12 s ago", "3 min ago", "5 h ago", "9 days ago".
 * @param {string} time
 * @param {Date} now
 * @returns {string}
 */
export function ago(time, now) {
  const seconds = Math.max(0, Math.round((now.getTime() - new Date(time).getTime()) / 1000));
  if (seconds < 60) return `${seconds} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 48 * 3600) return `${Math.floor(seconds / 3600)} h ago`;
  return `${Math.floor(seconds / 86_400)} days ago`;
}

/**
 * Return a duration: "0.4 s", "12 s", "3 min 5 s", "2 h 10 min".
 * @param {number} seconds
 * @returns {string}
 */
export function duration(seconds) {
  if (seconds < 10) return `${Number(seconds.toFixed(1))} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return parts(whole, 60, "min", "s");
  return parts(Math.floor(whole / 60), 60, "h", "min");
}

/** The name of the time zone, such as "Europe/Berlin". */
export function zoneName() {
  return new Intl.DateTimeFormat("en-GB").resolvedOptions().timeZone;
}

/**
 * Return the value of a datetime-local field for a time in UTC, in the browser's zone; empty for no valid time.
 * @param {string | undefined} time
 * @returns {string}
 */
export function toField(time) {
  const date = new Date(time ?? "");
  if (Number.isNaN(date.getTime())) return "";
  const local = new Date(date.getTime() - date.getTimezoneOffset() * 60_000);
  return local.toISOString().slice(0, 16);
}

/**
 * Return the time in UTC of a datetime-local field; empty for an empty or invalid one.
 * @param {string} value
 * @returns {string}
 */
export function fromField(value) {
  const date = new Date(value);
  return value === "" || Number.isNaN(date.getTime()) ? "" : date.toISOString().replace(":00.000Z", "Z");
}

/**
 * Return the API's conditions on time for the parameters `last`, `from` and `to` of an address.
 * @param {Readonly<Record<string, string>>} params
 * @param {Date} now
 * @returns {Record<string, string>}
 */
export function timeRange(params, now) {
  const range = RANGES[params.last ?? ""];
  if (range !== undefined) return { start_time: new Date(now.getTime() - range.hours * HOUR_MS).toISOString() };
  /** @type {Record<string, string>} */
  const conditions = {};
  if (params.from) conditions.start_time = withSeconds(params.from);
  if (params.to) conditions.end_time = withSeconds(params.to);
  return conditions;
}

/**
 * @param {number} count  of small units
 * @param {number} size  of the large unit
 * @param {string} large
 * @param {string} small
 */
function parts(count, size, large, small) {
  const rest = count % size;
  return `${Math.floor(count / size)} ${large}${rest === 0 ? "" : ` ${rest} ${small}`}`;
}

/** @param {string} time */
function withSeconds(time) {
  return /T\d\d:\d\dZ$/.test(time) ? time.replace("Z", ":00Z") : time;
}

/**
 * @param {string} time
 * @param {Intl.DateTimeFormatOptions} options
 */
function formatted(time, options) {
  const date = new Date(time);
  if (Number.isNaN(date.getTime())) return "unknown time";
  return new Intl.DateTimeFormat("en-GB", { hourCycle: "h23", ...options }).format(date);
}

/**
 * @param {Date} date
 * @param {string} [zone]
 */
function calendarDay(date, zone) {
  return new Intl.DateTimeFormat("en-CA", { timeZone: zone }).format(date);
}
