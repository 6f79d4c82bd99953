// The row of figures at the top, each with its course.
import { bytes, duration, element, number, perSecond, setText } from "./format.js";
import { crew } from "./model.js";
import { Spark } from "./spark.js";

// name: of its course; value and note: texts; least: see Spark.draw; warns: whether it is worth a look.
const FIGURES = [
	{
		title: "Requests", course: "requests", least: 10,
		value: (m, v) => perSecond(v),
		note: (m) => `4xx ${perSecond(m.course("4xx").last)}, 5xx ${perSecond(m.course("5xx").last)}`,
	},
	{
		title: "Answer time, p99", course: "time.99", least: 0.001,
		value: (m, v) => duration(v),
		note: (m) => `p50 ${duration(m.course("time.50").last)}`,
	},
	{
		title: "Failed", course: "failed", least: 1, kind: "bad",
		value: (m, v) => perSecond(v),
		note: (m) => `${number(m.now.counters.requests_failed || 0)} since the start`,
		warns: (m, v) => v > 0,
	},
	{
		title: "Refused", course: "refused", least: 1, kind: "warn",
		value: (m, v) => perSecond(v),
		note: (m) => `${number((m.now.counters.requests_refused || 0))} since the start`,
		warns: (m, v) => v > 0,
	},
	{
		title: "Connections", course: "connections", least: 10,
		value: (m, v) => number(v),
		note: (m) => `of ${number(m.now.status.connections_most)}; ${perSecond(m.course("accepted").last)} new`,
		warns: (m, v) => v >= 0.9 * m.now.status.connections_most,
	},
	{
		title: "Queue", course: "queue", least: 4,
		value: (m, v) => number(v),
		note: (m) => `of ${number(m.now.queue.queue_size)}; oldest ${duration(m.now.queue.queue_oldest_us / 1e6)}`,
		warns: (m, v) => v >= 0.5 * m.now.queue.queue_size,
	},
	{
		title: "Busy", course: "busy", least: 4,
		value: (m, v) => number(v),
		note: (m) => `of ${number(crew(m.now.workers).length)} ${m.now.status.engine === "pool" ? "workers" : "loops"}`,
	},
	{
		title: "Sent", course: "out", least: 1024,
		value: (m, v) => perSecond(v, bytes),
		note: (m) => `received ${perSecond(m.course("in").last, bytes)}`,
	},
];

class Figure {
	constructor(row) {
		this.row = row;
		this.value = element("dd", { class: "value" });
		this.note = element("dd", { class: "note" });
		this.spark = new Spark(160, 34, row.kind);
		this.node = element("dl", { class: "figure" }, element("dt", {}, row.title), this.value, this.note, this.spark.node);
	}

	draw(model) {
		const { row } = this;
		const course = model.course(row.course);

		setText(this.value, row.value(model, course.last));
		setText(this.note, row.note(model));
		this.node.classList.toggle(row.kind || "warn", Boolean(row.warns && row.warns(model, course.last)));
		this.spark.draw(course, row.least);
	}
}

export class Figures {
	constructor(node) {
		this.all = FIGURES.map((row) => new Figure(row));
		node.append(...this.all.map((f) => f.node));
	}

	draw(model) {
		for (const figure of this.all) figure.draw(model);
	}
}
