// What the same camera saw just before and after an event.

import { duration } from "./times.js";

/** @import { EventResponse } from "../api_types.d.ts" */

const AROUND_MS = 120_000;
const EACH_SIDE = 12;

/**
 * Return the query for the events around one.
 * @param {EventResponse} event
 * @returns {Record<string, string>}
 */
export function neighbourQuery(event) {
  const at = Date.parse(event.timestamp);
  return {
    camera_id: event.camera_id,
    site_id: event.site_id,
    start_time: new Date(at - AROUND_MS).toISOString(),
    end_time: new Date(at + AROUND_MS).toISOString(),
    page_size: "200",
  };
}

/**
 * Return the events nearest to one, earliest first, with the event among them.
 * @param {readonly EventResponse[]} events
 * @param {EventResponse} event
 * @returns {EventResponse[]}
 */
export function orderedByTime(events, event) {
  const others = events.filter((one) => one.id !== event.id);
  const sorted = [...others, event].sort((one, two) => compare(one, two));
  const at = sorted.indexOf(event);
  return sorted.slice(Math.max(0, at - EACH_SIDE), at + EACH_SIDE + 1);
}

/**
 * Return the time between two events: "3 s before", "12 s after", "this event".
 * @param {EventResponse} one
 * @param {EventResponse} event
 * @returns {string}
 */
export function offsetText(one, event) {
  if (one.id === event.id) return "this event";
  const seconds = (Date.parse(one.timestamp) - Date.parse(event.timestamp)) / 1000;
  if (seconds === 0) return "same time";
  return `${duration(Math.abs(seconds))} ${seconds < 0 ? "before" : "after"}`;
}

/**
 * @param {EventResponse} one
 * @param {EventResponse} two
 */
function compare(one, two) {
  return Date.parse(one.timestamp) - Date.parse(two.timestamp) || one.id - two.id;
}
