// The icons: outlines on a grid of 24, drawn for this page.

const NAMESPACE = "http://www.w3.org/2000/svg";

/** @type {Readonly<Record<string, string>>} */
const PATHS = {
  tracking:
    "M4 8V5a1 1 0 0 1 1-1h3M16 4h3a1 1 0 0 1 1 1v3M20 16v3a1 1 0 0 1-1 1h-3M8 20H5a1 1 0 0 1-1-1v-3M12 9a3 3 0 1 0 0 6 3 3 0 0 0 0-6z",
  rule: "M5 20 19 4M5 9l3-3M5 9 2 6M5 9V3M16 18l3-3M16 18l3 3M16 18h6",
  anpr: "M3 7h18v10H3zM7 14v-4l2 2 2-2v4M14 10h3M14 14h3",
  motion: "M3 12h4l3-7 4 14 3-7h4",
  detection: "M4 5h7v7H4zM14 13h6v6h-6zM14 5h6v4h-6zM4 16h6v3H4z",
  snapshot: "M4 8h3l2-3h6l2 3h3v11H4zM12 10.500a3 3 0 1 0 0 6 3 3 0 0 0 0-6z",
  camera_status: "M3 8l14-3 1.500 6-14 3zM7 13.500V19h5M18 9.500l3-.500",
  camera: "M3 7h12v10H3zM15 11l6-3.500v9L15 13",
  search: "M10.500 4a6.500 6.500 0 1 0 0 13 6.500 6.500 0 0 0 0-13zM15.500 15.500 20 20",
  close: "M6 6l12 12M18 6 6 18",
  previous: "M15 5l-7 7 7 7",
  next: "M9 5l7 7-7 7",
  filter: "M4 6h16M7 12h10M10 18h4",
  grid: "M4 4h7v7H4zM13 4h7v7h-7zM4 13h7v7H4zM13 13h7v7h-7z",
  list: "M4 6h16M4 12h16M4 18h16",
  pause: "M8 5v14M16 5v14",
  play: "M7 5l12 7-12 7z",
  user: "M12 4a4 4 0 1 0 0 8 4 4 0 0 0 0-8zM4 20c1-4 4-5.500 8-5.500s7 1.500 8 5.500",
  warning: "M12 4 2.500 20h19zM12 10v5M12 17.500v.500",
  lock: "M6 11h12v9H6zM8.500 11V8a3.500 3.500 0 0 1 7 0v3",
  nothing: "M4 5h16v14H4zM4 16l5-5 4 4 3-3 4 4M4 5l16 14",
  pending: "M12 4a8 8 0 1 0 0 16 8 8 0 0 0 0-16zM12 8v4l3 2",
  download: "M12 4v11M7 11l5 5 5-5M5 20h14",
  clock: "M12 4a8 8 0 1 0 0 16 8 8 0 0 0 0-16zM12 8v4l3 2",
  eye:
    "M2.500 12C5 7.500 8.200 5.500 12 5.500s7 2 9.500 6.500c-2.500 4.500-5.700 6.500-9.500 6.500S5 16.500 2.500 12zM12 9.300a2.700 2.700 0 1 0 0 5.400 2.700 2.700 0 0 0 0-5.400z",
};

/**
 * Return an icon, which screen readers skip: its text stands beside it or in the label of its button.
 * @param {string} name
 * @returns {SVGSVGElement}
 */
export function icon(name) {
  const svg = document.createElementNS(NAMESPACE, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS(NAMESPACE, "path");
  path.setAttribute("d", PATHS[name] ?? PATHS.nothing ?? "");
  svg.append(path);
  return svg;
}
