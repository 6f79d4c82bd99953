// A course as a small picture: the last two minutes, now at the right.
import { KEPT } from "./model.js";
import { set, shape } from "./format.js";

// The line, in pieces around its holes.
function pieces(values, width, height, most) {
	const step = width / (KEPT - 1), left = width - step * (values.length - 1);
	const runs = [];
	let run = null;

	values.forEach((v, i) => {
		if (!Number.isFinite(v)) {
			run = null;
			return;
		}
		if (!run) runs.push((run = []));
		run.push([left + step * i, height - (v / most) * height]);
	});
	return runs;
}

function line(run) {
	return run.map(([x, y], i) => `${i ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`).join("");
}

export class Spark {
	constructor(width, height, kind = "") {
		this.width = width;
		this.height = height;
		this.area = shape("path", { class: "area" });
		this.line = shape("path", { class: "line" });
		this.node = shape("svg", { class: ("spark " + kind).trim(), viewBox: `0 -1 ${width} ${height + 2}`,
			preserveAspectRatio: "none", "aria-hidden": "true" }, this.area, this.line);
	}

	// least: what the full height is at least.
	draw(course, least = 1) {
		const most = Math.max(course.highest, least);
		const runs = pieces(course.values, this.width, this.height, most);
		const below = (run) => `${line(run)}L${run[run.length - 1][0].toFixed(1)} ${this.height}L${run[0][0].toFixed(1)} ${this.height}Z`;

		this.node.classList.toggle("none", course.highest === 0);
		set(this.line, "d", runs.map(line).join(""));
		set(this.area, "d", runs.map(below).join(""));
	}
}
