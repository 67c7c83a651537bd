// Reads fields of `event_data`, which depend on the event's type and on what a device sent.

/** @typedef {Readonly<Record<string, unknown>>} Data */

/**
 * Return the value as an object; an empty one for anything else.
 * @param {unknown} value
 * @returns {Data}
 */
export function object(value) {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? /** @type {Data} */ (value) : {};
}

/**
 * Return the value as a list of objects; without what is not an object.
 * @param {unknown} value
 * @returns {Data[]}
 */
export function objects(value) {
  return Array.isArray(value) ? value.filter((item) => Object.keys(object(item)).length > 0) : [];
}

/**
 * Return the value as text; null for anything but a text that is not empty.
 * @param {unknown} value
 * @returns {string | null}
 */
export function text(value) {
  return typeof value === "string" && value !== "" ? value : null;
}

/**
 * Return the value as a list of texts.
 * @param {unknown} value
 * @returns {string[]}
 */
export function texts(value) {
  return Array.isArray(value) ? value.filter((item) => text(item) !== null) : [];
}

/**
 * Return the value as a finite number, or null.
 * @param {unknown} value
 * @returns {number | null}
 */
export function number(value) {
  return typeof value === "number" && Number.isFinite(value) ? value : null;
}

/**
 * Return a share as a percentage: "87 %".
 * @param {number | null} share
 * @returns {string | null}
 */
export function percent(share) {
  return share === null ? null : `${Math.round(share * 100)} %`;
}

/**
 * Return a number with separators: "18,211".
 * @param {number} count
 * @returns {string}
 */
export function grouped(count) {
  return count.toLocaleString("en-GB");
}

/**
 * Return a name from code as words: "line_crossed" is "Line crossed".
 * @param {string} name
 * @returns {string}
 */
export function sentence(name) {
  const words = name.replaceAll("_", " ");
  return words.charAt(0).toUpperCase() + words.slice(1);
}
