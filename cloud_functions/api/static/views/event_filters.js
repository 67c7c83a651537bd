// <vd-event-filters>: the conditions on events. Each change is a change of the address.

import { change, go } from "../app/navigation.js";
import { TYPES } from "../model/event_text.js";
import { fromField, RANGES, toField } from "../model/times.js";
import { countFilters } from "../model/url_state.js";
import { grouped } from "../model/values.js";
import { fill, given, h, setText } from "../ui/dom.js";
import { icon } from "../ui/icons.js";

/** @import { State } from "../model/url_state.js" */

const WIDE = "(min-width: 1000px)";

export class EventFilters extends HTMLElement {
  constructor() {
    super();
    this.types = h("div", { class: "types", role: "group", "aria-label": "Type" });
    this.camera = h("select", { id: "filter-camera", name: "camera" });
    this.className_ = textField("filter-class", "class", "person");
    this.zone = textField("filter-zone", "zone", "driveway");
    this.plate = textField("filter-plate", "plate", "AB-123-CD");
    this.last = h("select", { id: "filter-last", name: "last" });
    this.from = h("input", { id: "filter-from", name: "from", type: "datetime-local" });
    this.to = h("input", { id: "filter-to", name: "to", type: "datetime-local" });
    this.between = h("div", { class: "between" }, ...labelled("From", this.from), ...labelled("Until", this.to));
    this.summary = h("span", {}, "Filters");
    this.clear = h("button", { type: "button", onclick: () => go({ view: "events", params: {} }) }, "Clear filters");
    this.details = h(
      "details",
      { class: "filters" },
      h("summary", {}, icon("filter"), this.summary),
      h(
        "form",
        { "aria-label": "Filters", onchange: () => this.apply(), onsubmit: (event) => this.onSubmit(event) },
        this.types,
        ...labelled("Camera", this.camera),
        ...labelled("Class", this.className_),
        ...labelled("Zone", this.zone),
        ...labelled("Plate", this.plate),
        ...labelled("Time", this.last),
        this.between,
        h("div", { class: "buttons" }, h("button", { type: "submit", class: "quiet" }, "Apply"), this.clear),
      ),
    );
  }

  connectedCallback() {
    if (this.details.parentNode === this) return;
    this.append(this.details);
    const wide = matchMedia(WIDE);
    this.details.open = wide.matches;
    wide.addEventListener("change", () => (this.details.open = wide.matches));
    const ranges = Object.entries(RANGES).map(([value, range]) => h("option", { value }, range.label));
    fill(this.last, h("option", { value: "" }, "Any time"), ...ranges, h("option", { value: "between" }, "Between …"));
  }

  /**
   * Show the conditions of the address.
   * @param {State} state
   */
  update({ params }) {
    this.showTypes(params.type ?? "");
    this.showCamera(params.camera ?? "");
    this.className_.value = params.class ?? "";
    this.zone.value = params.zone ?? "";
    this.plate.value = params.plate ?? "";
    this.from.value = toField(params.from);
    this.to.value = toField(params.to);
    const isBetween = Boolean(params.from || params.to);
    if (!(this.last.value === "between" && !params.last)) this.last.value = isBetween ? "between" : (params.last ?? "");
    this.between.hidden = this.last.value !== "between";
    const count = countFilters(params);
    setText(this.summary, count === 0 ? "Filters" : `Filters (${count})`);
    this.clear.hidden = count === 0;
  }

  /**
   * Show how many events there are of each type, and the cameras that have events.
   * @param {Readonly<Record<string, number>>} byType
   * @param {readonly string[]} cameras
   */
  showCounts(byType, cameras) {
    for (const button of this.types.querySelectorAll("button")) {
      const count = button.value === "" ? sum(byType) : (byType[button.value] ?? 0);
      const badge = button.querySelector(".count");
      if (badge !== null) setText(badge, grouped(count));
    }
    const known = new Set([...this.camera.options].map((option) => option.value));
    for (const camera of [...cameras].sort()) {
      if (!known.has(camera)) this.camera.append(h("option", { value: camera }, camera));
    }
  }

  /** @param {string} chosen */
  showTypes(chosen) {
    if (this.types.childElementCount === 0) {
      const all = [["", "All events"], ...Object.entries(TYPES)];
      fill(this.types, ...all.map(([value = "", label]) => this.typeButton(value, label ?? "")));
    }
    for (const button of this.types.querySelectorAll("button")) {
      button.setAttribute("aria-pressed", String(button.value === chosen));
    }
  }

  /**
   * @param {string} value
   * @param {string} label
   */
  typeButton(value, label) {
    const mark = value === "" ? null : h("span", { class: `kind ${value}` }, icon(value));
    const onclick = () => change({ type: value, cursor: "" });
    return h(
      "button",
      { type: "button", value, onclick },
      mark,
      h("span", { class: "label" }, label),
      h("span", { class: "count" }),
    );
  }

  /** @param {string} chosen */
  showCamera(chosen) {
    if (this.camera.options.length === 0) this.camera.append(h("option", { value: "" }, "All cameras"));
    const values = [...this.camera.options].map((option) => option.value);
    if (!values.includes(chosen)) this.camera.append(h("option", { value: chosen }, given(chosen)));
    this.camera.value = chosen;
  }

  apply() {
    const isBetween = this.last.value === "between";
    this.between.hidden = !isBetween;
    change({
      camera: this.camera.value,
      class: this.className_.value.trim(),
      zone: this.zone.value.trim(),
      plate: this.plate.value.trim(),
      last: isBetween ? "" : this.last.value,
      from: isBetween ? fromField(this.from.value) : "",
      to: isBetween ? fromField(this.to.value) : "",
      cursor: "",
    });
  }

  /** @param {Event} event */
  onSubmit(event) {
    event.preventDefault();
    this.apply();
  }
}

/**
 * @param {string} label
 * @param {HTMLElement} field
 */
function labelled(label, field) {
  return [h("label", { for: field.id }, label), field];
}

/**
 * @param {string} id
 * @param {string} name
 * @param {string} example
 */
function textField(id, name, example) {
  return h("input", {
    id,
    name,
    type: "text",
    maxlength: 200,
    placeholder: example,
    autocomplete: "off",
    spellcheck: "false",
  });
}

/** @param {Readonly<Record<string, number>>} counts */
function sum(counts) {
  return Object.values(counts).reduce((total, count) => total + count, 0);
}
