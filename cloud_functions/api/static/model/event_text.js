// An event in words: its title, the line below it, and its facts.

import { duration } from "./times.js";
import { number, object, objects, percent, sentence, text, texts } from "./values.js";

/** @import { EventResponse } from "../api_types.d.ts" */
/** @import { Data } from "./values.js" */
/** @typedef {{ label: string, value: string }} Fact */

/** The types of events, in the order in which filters list them. @type {Readonly<Record<string, string>>} */
export const TYPES = {
  tracking: "Tracking",
  rule: "Rules",
  anpr: "Plates",
  motion: "Motion",
  detection: "Detection",
  snapshot: "Snapshots",
  camera_status: "Camera status",
};

/** @type {Readonly<Record<string, (data: Data) => string>>} */
const TITLES = {
  tracking: (data) => `${sentence(text(data.class_name) ?? "object")} ${actionOf(data)}`,
  rule: ruleTitle,
  anpr: (data) => plateOf(data) ?? "Protected plate",
  motion: (data) => (number(data.duration_seconds) === null ? "Motion" : "Motion ended"),
  detection: detectionTitle,
  snapshot: (data) => (text(data.error) === null ? "Snapshot" : "Snapshot failed"),
  camera_status: (data) => `Camera ${text(data.status) ?? "status"}`,
};

/**
 * Return what happened, in a few words.
 * @param {Pick<EventResponse, "event_type" | "event_data">} event
 * @returns {string}
 */
export function titleOf(event) {
  const title = TITLES[event.event_type];
  return title === undefined ? sentence(event.event_type) : title(event.event_data);
}

/**
 * Return what is worth a second line: zones, duration, direction.
 * @param {Pick<EventResponse, "event_type" | "event_data">} event
 * @returns {string}
 */
export function subtitleOf(event) {
  const data = event.event_data;
  const dwell = number(data.dwell_time_seconds) ?? number(data.dwell_s) ?? number(data.duration_seconds);
  const vehicle = object(data.vehicle);
  const parts = [
    ...texts(data.zones),
    text(data.zone),
    text(vehicle.color),
    text(vehicle.type),
    text(data.direction),
    dwell === null ? null : duration(dwell),
    text(data.error),
  ];
  return parts.filter((part) => part !== null).join(" · ");
}

/**
 * Return the confidence of the object or plate, from 0 to 1, or null.
 * @param {Pick<EventResponse, "event_data">} event
 * @returns {number | null}
 */
export function confidenceOf(event) {
  return number(event.event_data.confidence) ?? number(object(event.event_data.anpr_result).confidence);
}

/**
 * Return the plate as read; null if there is none or it is protected.
 * @param {Data} data
 * @returns {string | null}
 */
export function plateOf(data) {
  return text(object(data.anpr_result).license_plate) ?? text(data.plate_normalized);
}

/**
 * Return the facts of an event for a list of labels and values. Absent ones are left out.
 * @param {EventResponse} event
 * @returns {Fact[]}
 */
export function factsOf(event) {
  const data = event.event_data;
  const dwell = number(data.dwell_time_seconds) ?? number(data.dwell_s);
  const lasted = number(data.duration_seconds);
  /** @type {[string, string | null][]} */
  const facts = [
    ["Class", text(data.class_name)],
    ["Confidence", percent(confidenceOf(event))],
    ["Zones", [...texts(data.zones), ...texts([data.zone])].join(", ") || null],
    ["Rule", text(data.name)],
    ["Direction", text(data.direction)],
    ["Count", number(data.count)?.toString() ?? null],
    ["Stayed", dwell === null ? null : duration(dwell)],
    ["Lasted", lasted === null ? null : duration(lasted)],
    ["Area", area(data)],
    ["Region", text(object(data.anpr_result).region)],
    ["Vehicle", texts([object(data.vehicle).color, object(data.vehicle).type]).join(" ") || null],
    ["Reads", number(data.reads)?.toString() ?? null],
    ["Objects", objects(data.detections).map(detected).join(", ") || null],
    ["Error", text(data.error)],
    ["Track", text(data.track_uid)],
    ["Frame", event.frame_number?.toString() ?? null],
    ["Device", `${event.site_id} / ${event.device_id}`],
    ["Event", event.event_id],
  ];
  return facts.flatMap(([label, value]) => (value === null ? [] : [{ label, value }]));
}

/** @param {Data} data */
function actionOf(data) {
  const action = text(data.tracking_action) ?? "tracked";
  return action === "updated" ? "present" : action;
}

/** @param {Data} data */
function ruleTitle(data) {
  const rule = text(data.rule) ?? "rule";
  const who = text(data.class_name);
  const title = sentence(rule);
  return who === null ? title : `${title}: ${who}`;
}

/** @param {Data} data */
function detectionTitle(data) {
  const names = objects(data.detections).map((one) => text(one.class_name) ?? "object");
  if (names.length === 0) return "Detection";
  const counts = new Map();
  for (const name of names) counts.set(name, (counts.get(name) ?? 0) + 1);
  const parts = [...counts].map(([name, count]) => (count === 1 ? name : `${count} × ${name}`));
  return sentence(parts.slice(0, 3).join(", ") + (parts.length > 3 ? " …" : ""));
}

/** @param {Data} one */
function detected(one) {
  return [text(one.class_name) ?? "object", percent(number(one.confidence))].filter((part) => part !== null).join(" ");
}

/** @param {Data} data */
function area(data) {
  const share = number(data.affected_area_percentage);
  return share === null ? null : `${share.toFixed(1)} % of the picture`;
}
