// The address bar: the one place of the state of the page.

import { formatState, parseState, withParams } from "../model/url_state.js";

/** @import { State } from "../model/url_state.js" */

/** The address before the current one, if it was an address of this page. @type {string | null} */
let previous = null;

/** @returns {State} */
export function currentState() {
  return parseState(location.hash);
}

/**
 * Call `listener` whenever the address changes: by a link, by `go`, or by the buttons of the browser.
 * @param {() => void} listener
 */
export function onNavigation(listener) {
  addEventListener("hashchange", (event) => {
    if (event.oldURL) previous = new URL(event.oldURL).hash;
    listener();
  });
}

/**
 * Go to a state.
 * @param {State} state
 * @param {{ replace?: boolean }} [options]  replace: the current address is not kept in the browser's history
 */
export function go(state, { replace = false } = {}) {
  const hash = formatState(state);
  if (hash === location.hash) return;
  if (replace) {
    history.replaceState(null, "", hash);
    dispatchEvent(new HashChangeEvent("hashchange"));
  } else {
    location.hash = hash;
  }
}

/**
 * Go to the same view with some parameters changed.
 * @param {Record<string, string>} changes
 * @param {{ replace?: boolean }} [options]
 */
export function change(changes, options) {
  go(withParams(currentState(), changes), options);
}

/**
 * Remove a parameter that opened something: back in the history if the address before is the one without it.
 * @param {string} name
 */
export function close(name) {
  const without = withParams(currentState(), { [name]: "" });
  if (previous !== null && formatState(parseState(previous)) === formatState(without)) history.back();
  else go(without, { replace: true });
}
