// Asks a camera for a picture now.

import { requestJson } from "./api.js";
import { object, text } from "../model/values.js";

const TIMEOUT_S = 10;

/**
 * Ask a camera for a picture, and return the path of the image when it has come.
 * @param {string} camera  id or slug
 * @param {AbortSignal} signal
 * @returns {Promise<string>}
 */
export async function takeSnapshot(camera, signal) {
  const body = { timeout_seconds: TIMEOUT_S, save_thumbnail: true };
  const answer = await requestJson("POST", `/cameras/${encodeURIComponent(camera)}/snapshot`, { body, signal });
  return imagePath(answer);
}

/**
 * Return the path of the image that a response to a snapshot names.
 * @param {unknown} answer
 * @returns {string}
 */
export function imagePath(answer) {
  const data = object(object(answer).data);
  const id = text(data.id) ?? text(data.snapshot_id) ?? "";
  return `/snapshots/${encodeURIComponent(id)}/image`;
}
