// Moves the focus between the links of a list with the arrow keys, Home, End, and j and k.

/** @typedef {{ left: number, top: number }} Place */

/**
 * Return the index that a key leads to; null for other keys and at the edge.
 * @param {string} key
 * @param {number} index
 * @param {readonly Place[]} places  where the items are on the page
 * @returns {number | null}
 */
export function indexAfter(key, index, places) {
  const here = places[index];
  if (here === undefined) return null;
  const target = {
    ArrowRight: index + 1,
    j: index + 1,
    ArrowLeft: index - 1,
    k: index - 1,
    Home: 0,
    End: places.length - 1,
    ArrowDown: inNextRow(places, index, 1),
    ArrowUp: inNextRow(places, index, -1),
  }[key];
  return target !== undefined && target !== index && places[target] !== undefined ? target : null;
}

/**
 * Handle a key in a list of links.
 * @param {KeyboardEvent} event
 * @param {readonly HTMLElement[]} links
 */
export function onListKey(event, links) {
  if (event.altKey || event.ctrlKey || event.metaKey) return;
  const index = links.indexOf(/** @type {HTMLElement} */ (document.activeElement));
  const places = links.map((link) => link.getBoundingClientRect());
  const target = index < 0 ? null : indexAfter(event.key, index, places);
  if (target === null) return;
  event.preventDefault();
  links[target]?.focus();
}

/**
 * Return the item of the next row that is nearest to the column of this one.
 * @param {readonly Place[]} places
 * @param {number} index
 * @param {1 | -1} step
 * @returns {number}
 */
function inNextRow(places, index, step) {
  const here = /** @type {Place} */ (places[index]);
  let row = index + step;
  while (places[row] !== undefined && Math.abs(/** @type {Place} */ (places[row]).top - here.top) < 4) row += step;
  const first = places[row];
  let best = row;
  for (let at = row; first !== undefined; at += step) {
    const place = places[at];
    const nearest = places[best];
    if (place === undefined || nearest === undefined || Math.abs(place.top - first.top) >= 4) break;
    if (Math.abs(place.left - here.left) < Math.abs(nearest.left - here.left)) best = at;
  }
  return best;
}
