// Numbers and times as people read them, and the elements they stand in.

const SVG = "http://www.w3.org/2000/svg";

// Texts come from names in a configuration and from peers: they are only ever set as text.
export function element(name, attributes = {}, ...children) {
	return fill(document.createElement(name), attributes, children);
}

export function shape(name, attributes = {}, ...children) {
	return fill(document.createElementNS(SVG, name), attributes, children);
}

function fill(node, attributes, children) {
	for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
	node.append(...children);
	return node;
}

// Touches the document only where something is another one.
export function setText(node, text) {
	if (node.textContent !== text) node.textContent = text;
}

export function set(node, key, value) {
	if (node.getAttribute(key) !== String(value)) node.setAttribute(key, value);
}

// Three figures: 0, 0.42, 7.50, 312, 9312, 12.4k, 1.02M.
export function number(n) {
	if (!Number.isFinite(n)) return "–";
	for (const [unit, name] of [[1e9, "G"], [1e6, "M"], [1e4, "k"]])
		if (n >= unit * 0.9995) return figures(n / (unit === 1e4 ? 1e3 : unit)) + name;
	return n >= 999.5 || Number.isInteger(n) ? String(Math.round(n)) : figures(n);
}

function figures(n) {
	return n >= 99.95 ? String(Math.round(n)) : n.toFixed(n >= 9.995 ? 1 : 2);
}

// Events a second: from ten on no fraction is of interest.
export function rate(n) {
	if (!Number.isFinite(n)) return "–";
	if (n >= 9.95) return number(Math.round(n));
	return n === 0 ? "0" : n < 0.05 ? "<0.1" : n.toFixed(1);
}

export function perSecond(n, text = rate) {
	return Number.isFinite(n) ? text(n) + "/s" : "–";
}

export function bytes(n) {
	if (!Number.isFinite(n)) return "–";
	for (const [unit, name] of [[1 << 30, "GiB"], [1 << 20, "MiB"], [1 << 10, "KiB"]])
		if (n >= unit) return figures(n / unit) + " " + name;
	return Math.round(n) + " B";
}

// Of seconds.
export function duration(s) {
	if (!Number.isFinite(s)) return "–";
	if (s === 0) return "0";
	if (s < 0.0009995) return figures(s * 1e6) + " µs";
	if (s < 0.9995) return figures(s * 1e3) + " ms";
	if (s < 100) return figures(s) + " s";
	return span(s);
}

// A long time, in its two largest units.
export function span(s) {
	const parts = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
	const first = parts.findIndex(([unit]) => s >= unit);

	if (first < 0) return "0 s";
	const [unit, name] = parts[first];
	const rest = parts[first + 1];
	const whole = Math.floor(s / unit) + " " + name;
	const left = rest ? Math.floor((s % unit) / rest[0]) : 0;
	return left > 0 && first < 3 ? whole + " " + left + " " + rest[1] : whole;
}

export function clock(date) {
	return date.toLocaleTimeString([], { hour12: false });
}

export function day(date) {
	return date.toLocaleDateString([], { month: "short", day: "numeric" });
}

export function plural(n, word) {
	return number(n) + " " + word + (n === 1 ? "" : "s");
}
