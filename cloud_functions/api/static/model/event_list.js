// A list of events that a newer first page is merged into.

/** @import { EventResponse } from "../api_types.d.ts" */

const KEPT = 400;

/**
 * Return the events newest first, with the current first page merged in, and how many of them are new.
 *
 * What the page covers is as the page says: events that were deleted go, late ones take their place. Without a common
 * event the page replaces the list, because events between the two are unknown.
 * @param {readonly EventResponse[]} known
 * @param {readonly EventResponse[]} page
 * @returns {{ events: EventResponse[], added: number }}
 */
export function mergeFirstPage(known, page) {
  const ids = new Set(known.map((event) => event.id));
  const added = page.filter((event) => !ids.has(event.id)).length;
  const last = page.at(-1);
  if (last === undefined || added === page.length) return { events: [...page], added };
  const older = known.filter((event) => isOlder(event, last));
  return { events: [...page, ...older].slice(0, KEPT), added };
}

/**
 * @param {EventResponse} event
 * @param {EventResponse} other
 */
function isOlder(event, other) {
  const [one, two] = [Date.parse(event.timestamp), Date.parse(other.timestamp)];
  return one < two || (one === two && event.timestamp <= other.timestamp && event.id < other.id);
}
