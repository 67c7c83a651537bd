// What the views have in common: they follow the address, and they poll.

import { ApiError } from "../app/api.js";

/** @import { SessionResponse } from "../api_types.d.ts" */
/** @import { State } from "../model/url_state.js" */

/** A view: shows the state of the address to the caller. */
export class View extends HTMLElement {
  /**
   * @param {State} _state
   * @param {SessionResponse} _session
   */
  update(_state, _session) {
    throw new Error("a view has its own update");
  }
}

/**
 * Report what became of a request in the background: whether the server answers, and whether the session has ended.
 * @param {unknown} error  null after a success
 */
export function reportConnection(error) {
  const isAway = error instanceof ApiError && (error.status === 0 || error.status >= 500);
  const problem = isAway ? error.message : null;
  dispatchEvent(new CustomEvent("vd-connection", { detail: problem }));
  if (error instanceof ApiError && error.status === 401) dispatchEvent(new Event("vd-unauthorized"));
}
