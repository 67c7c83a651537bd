// What stands in place of a list: nothing there, nothing found, an error.

import { ApiError } from "../app/api.js";
import { h } from "./dom.js";
import { icon } from "./icons.js";

/** @import { Child } from "./dom.js" */

/**
 * Return a message with an icon.
 * @param {string} name  of the icon
 * @param {string} title
 * @param {...Child} more
 * @returns {HTMLElement}
 */
export function message(name, title, ...more) {
  return h("div", { class: "message" }, icon(name), h("p", { class: "message-title" }, title), ...more);
}

/**
 * Return an error in words.
 * @param {unknown} error
 * @returns {string}
 */
export function errorText(error) {
  if (!(error instanceof ApiError)) return "Something went wrong on this page. Reload it.";
  const again = error.retryAfterS === null || error.status === 404 ? "" : ` Try again in ${error.retryAfterS} s.`;
  return `${error.message}${again}`;
}

/**
 * Return a line that announces an error.
 * @param {unknown} error
 * @returns {HTMLElement}
 */
export function errorLine(error) {
  return h("p", { class: "error", role: "alert" }, icon("warning"), h("span", {}, errorText(error)));
}
