// A camera in words.

import { grouped } from "./values.js";

/** @import { CameraResponse, StatusCounts } from "../api_types.d.ts" */

/** The states of cameras, in the order in which the summary lists them. @type {Readonly<Record<string, string>>} */
export const STATES = { live: "Live", degraded: "Degraded", offline: "Offline", idle: "Idle" };

/**
 * Return what is worth a second line: place, picture size and rate, group, device.
 * @param {CameraResponse} camera
 * @returns {string}
 */
export function cameraDetails(camera) {
  const rate = camera.fps === null ? null : `${Number(camera.fps.toFixed(1))} fps`;
  const parts = [camera.location, camera.group_name, camera.resolution, rate, camera.device_id];
  return parts.filter((part) => part !== null && part !== "").join(" · ");
}

/**
 * Return why a camera has its state, if that needs words.
 * @param {CameraResponse} camera
 * @returns {string | null}
 */
export function stateReason(camera) {
  if (!camera.is_active) return "Switched off";
  if (camera.device_id === null) return "No device runs it";
  return camera.enable_detection ? null : "Detection is off";
}

/**
 * Return the numbers of cameras: "12 cameras: 10 live, 2 offline".
 * @param {number} total
 * @param {StatusCounts} counts
 * @returns {string}
 */
export function summaryText(total, counts) {
  const parts = Object.entries(STATES)
    .map(([state, label]) => ({ label, count: counts[/** @type {keyof StatusCounts} */ (state)] }))
    .filter(({ count }) => count > 0)
    .map(({ label, count }) => `${grouped(count)} ${label.toLowerCase()}`);
  const cameras = total === 1 ? "1 camera" : `${grouped(total)} cameras`;
  return parts.length === 0 ? cameras : `${cameras}: ${parts.join(", ")}`;
}
