// Who is looking, and what the caller may do.

import { requestJson } from "./api.js";

/** @import { SessionResponse } from "../api_types.d.ts" */

/** @returns {Promise<SessionResponse>} */
export function readSession() {
  return requestJson("GET", "/session");
}

/**
 * @param {string} username
 * @param {string} password
 * @returns {Promise<SessionResponse>}
 */
export function logIn(username, password) {
  return requestJson("POST", "/session", { body: { username, password } });
}

/** @returns {Promise<unknown>} */
export function logOut() {
  return requestJson("DELETE", "/session");
}

/**
 * @param {SessionResponse} session
 * @param {string} permission
 * @returns {boolean}
 */
export function may(session, permission) {
  return session.permissions.includes(permission);
}
