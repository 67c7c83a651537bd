// From the parameters of an address to the conditions of the API.

import { timeRange } from "./times.js";

/** @typedef {Readonly<Record<string, string>>} Params */

export const PAGE_SIZE = 48;

/**
 * Return the conditions on events, for `GET /events` and `GET /events/stats`.
 * @param {Params} params
 * @param {Date} now
 * @returns {Record<string, string>}
 */
export function eventConditions(params, now) {
  return present({
    event_type: params.type,
    camera_id: params.camera,
    class_name: params.class,
    zone: params.zone,
    license_plate: params.plate,
    ...timeRange(params, now),
  });
}

/**
 * Return the query of one page of events.
 * @param {Params} params
 * @param {Date} now
 * @returns {Record<string, string>}
 */
export function eventPage(params, now) {
  return present({ ...eventConditions(params, now), page_size: String(PAGE_SIZE), cursor: params.cursor });
}

/**
 * Return the query of one page of plate reads.
 * @param {Params} params
 * @param {Date} now
 * @returns {Record<string, string>}
 */
export function platePage(params, now) {
  return present({
    plate: params.plate,
    match: params.plate ? params.match : undefined,
    camera_id: params.camera,
    limit: String(PAGE_SIZE),
    cursor: params.cursor,
    ...timeRange(params, now),
  });
}

/**
 * @param {Record<string, string | undefined>} query
 * @returns {Record<string, string>}
 */
function present(query) {
  /** @type {Record<string, string>} */
  const found = {};
  for (const [name, value] of Object.entries(query)) if (value) found[name] = value;
  return found;
}
