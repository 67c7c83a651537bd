// Requests to the API, and its errors in words.

import { number, object, objects, text } from "../model/values.js";

/** @typedef {{ query?: Record<string, string>, body?: unknown, signal?: AbortSignal, accept?: string, priority?: RequestPriority }} Options */

/** An error of the API, or of the way to it: then the code is "offline". */
export class ApiError extends Error {
  /**
   * @param {number} status  0 without a response
   * @param {string} code
   * @param {string} message  for people
   * @param {number | null} retryAfterS
   */
  constructor(status, code, message, retryAfterS = null) {
    super(message);
    this.name = "ApiError";
    this.status = status;
    this.code = code;
    this.retryAfterS = retryAfterS;
  }
}

/**
 * Return the JSON of a response.
 * @param {string} method
 * @param {string} path  below the API's mount, such as "/events"
 * @param {Options} [options]
 * @returns {Promise<any>}
 */
export async function requestJson(method, path, options = {}) {
  const response = await send(method, path, options);
  return await response.json();
}

/**
 * Return an image. An image that is too large for one response is the error "too-large-here".
 * @param {string} path
 * @param {Options} [options]
 * @returns {Promise<Blob>}
 */
export async function requestImage(path, options = {}) {
  const response = await send("GET", path, { accept: "image/*", ...options });
  if (response.type === "opaqueredirect") {
    throw new ApiError(307, "too-large-here", "The picture is too large to be shown here.");
  }
  return await response.blob();
}

/**
 * Return the address of a path of the API.
 * @param {string} path
 * @param {Record<string, string>} [query]
 * @returns {string}
 */
export function addressOf(path, query = {}) {
  const root = document.querySelector('meta[name="vedette-root"]')?.getAttribute("content") ?? "";
  const text = new URLSearchParams(query).toString();
  return `${root}/api/v1${path}${text === "" ? "" : `?${text}`}`;
}

/**
 * Return the error that a response holds: a problem document, an error in the envelope, or any other text.
 * @param {number} status
 * @param {unknown} content  its JSON, or null
 * @param {string | null} retryAfter  its Retry-After
 * @returns {ApiError}
 */
export function errorOf(status, content, retryAfter) {
  const body = object(content);
  const enveloped = object(body.error);
  const code = text(body.type)?.replace("urn:vedette:problem:", "") ?? text(enveloped.code) ?? `http-${status}`;
  const details = objects(body.errors ?? enveloped.details);
  const waitS = retryAfter === null ? null : number(Number(retryAfter));
  const first = details.map((detail) => `${text(detail.parameter) ?? ""} ${text(detail.message) ?? ""}`.trim())[0];
  const message = first ?? text(body.detail) ?? text(enveloped.message) ?? fallback(status);
  return new ApiError(status, code, message, waitS);
}

/**
 * @param {string} method
 * @param {string} path
 * @param {Options} options
 * @returns {Promise<Response>}
 */
async function send(method, path, { query, body, signal, accept = "application/json", priority = "auto" }) {
  /** @type {RequestInit} */
  const init = {
    method,
    signal,
    headers: { Accept: accept },
    credentials: "same-origin",
    redirect: "manual",
    priority,
  };
  if (body !== undefined) {
    init.body = JSON.stringify(body);
    init.headers = { Accept: accept, "Content-Type": "application/json" };
  }
  let response;
  try {
    response = await fetch(addressOf(path, query), init);
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new ApiError(0, "offline", "The server cannot be reached.");
  }
  if (response.ok || response.type === "opaqueredirect") return response;
  const content = await response.json().catch(() => null);
  throw errorOf(response.status, content, response.headers.get("Retry-After"));
}

/** @param {number} status */
function fallback(status) {
  if (status === 401) return "Log in to see this.";
  if (status === 403) return "You may not see this.";
  return status >= 500 ? `The server failed (${status}).` : `The server refused the request (${status}).`;
}
