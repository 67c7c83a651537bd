// The state of the page as the fragment of its address: "#/events?type=anpr&camera=gate&event=42".
//
// It is in the fragment, which browsers do not send: number plates stay out of the logs of servers and proxies.

/** @typedef {"events" | "cameras" | "plates"} ViewName */
/** @typedef {Readonly<Record<string, string>>} Params */
/** @typedef {{ view: ViewName, params: Params }} State */

const MAX_VALUE = 300;

/**
 * The parameters of each view, in the order in which they stand in an address.
 * @type {Readonly<Record<ViewName, readonly string[]>>}
 */
export const PARAMETERS = {
  events: ["type", "camera", "class", "zone", "plate", "last", "from", "to", "cursor", "as", "live", "event", "login"],
  cameras: ["search", "status", "page", "event", "login"],
  plates: ["plate", "match", "camera", "last", "from", "to", "cursor", "event", "login"],
};

/** The parameters that select what a view shows; the others say how. */
export const FILTERS = ["type", "camera", "class", "zone", "plate", "last", "from", "to", "search", "status"];

/**
 * Return the state in a fragment. What is unknown, empty or too long is left out.
 * @param {string} fragment
 * @returns {State}
 */
export function parseState(fragment) {
  const [path = "", query = ""] = fragment.replace(/^#?\/?/, "").split("?", 2);
  const view = isView(path) ? path : "events";
  const given = new URLSearchParams(query);
  /** @type {Record<string, string>} */
  const params = {};
  for (const name of PARAMETERS[view]) {
    const value = (given.get(name) ?? "").trim();
    if (value !== "" && value.length <= MAX_VALUE) params[name] = value;
  }
  return { view, params };
}

/**
 * Return the fragment of a state: the inverse of `parseState`.
 * @param {State} state
 * @returns {string}
 */
export function formatState({ view, params }) {
  const query = new URLSearchParams();
  for (const name of PARAMETERS[view]) {
    const value = params[name];
    if (value) query.set(name, value);
  }
  const text = query.toString();
  return text === "" ? `#/${view}` : `#/${view}?${text}`;
}

/**
 * Return the state with some parameters changed. An empty value removes a parameter.
 * @param {State} state
 * @param {Record<string, string>} changes
 * @returns {State}
 */
export function withParams(state, changes) {
  return { view: state.view, params: { ...state.params, ...changes } };
}

/**
 * Return how many conditions the parameters hold.
 * @param {Params} params
 * @returns {number}
 */
export function countFilters(params) {
  return FILTERS.filter((name) => params[name]).length;
}

/**
 * @param {string} text
 * @returns {text is ViewName}
 */
function isView(text) {
  return Object.hasOwn(PARAMETERS, text);
}
