// The table of servers, an upstream after the other.
import { duration, element, number, rate, set, setText, span } from "./format.js";
import { Spark } from "./spark.js";

const COLUMNS = ["Server", "Weight", "Active", "Requests/s", "p50", "p99", "Failures/s", "Downs"];
const CLASSES = ["name", "weight num", "active num", "requests num", "half num", "most num", "failures num", "downs num"];

class Row {
	constructor(server, table) {
		this.key = server.key;
		this.table = table;
		this.word = element("span", { class: "word" });
		this.texts = COLUMNS.map(() => element("span"));
		this.sparks = { 3: new Spark(96, 18), 5: new Spark(96, 18, "time"), 6: new Spark(96, 18, "bad") };
		const name = element("th", { scope: "row", class: "name" }, element("span", { class: "dot", "aria-hidden": "true" }),
			this.texts[0], this.word);
		const cells = this.texts.slice(1).map((text, i) => {
			const spark = this.sparks[i + 1];
			return element("td", { class: CLASSES[i + 1] }, ...(spark ? [spark.node, text] : [text]));
		});
		this.more = element("tr", { class: "more", hidden: "" }, element("td", { colspan: COLUMNS.length }));
		this.node = element("tr", { class: "server", tabindex: "-1", "aria-expanded": "false" }, name, ...cells);
		this.node.addEventListener("click", () => this.toggle());
		this.node.addEventListener("keydown", (event) => this.key_down(event));
		setText(this.texts[0], server.server);
		set(this.texts[0], "title", server.server);
	}

	key_down(event) {
		const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];

		if (step) this.table.step(this, step);
		else if (event.key === "Enter" || event.key === " ") this.toggle();
		else return;
		event.preventDefault();
	}

	toggle() {
		this.more.hidden = !this.more.hidden;
		set(this.node, "aria-expanded", !this.more.hidden);
		this.drawMore(this.server);
	}

	draw(server, model) {
		const course = (name) => model.course(`${this.key}.${name}`);
		const texts = [null, number(server.weight), server.active === null ? "–" : number(server.active), rate(course("requests").last),
			duration(course("time.50").last), duration(course("time.99").last), rate(course("failures").last), number(server.downs)];

		this.server = server;
		set(this.node, "class", "server " + server.state);
		this.node.classList.toggle("failing", course("failures").last > 0);
		setText(this.word, server.state === "up" ? "" : server.state);
		texts.forEach((text, i) => i && setText(this.texts[i], text));
		this.sparks[3].draw(course("requests"), this.table.most);
		this.sparks[5].draw(course("time.99"), 0.001);
		this.sparks[6].draw(course("failures"), 1);
		if (!this.more.hidden) this.drawMore(server);
	}

	drawMore(server) {
		const name = `${server.upstream}/${server.server}`;
		const wanted = server.state === "up" ? "maint" : "ready";
		const quoted = /^[\w./:#\[\]-]+$/.test(name) ? name : `'${name.replaceAll("'", "'\\''")}'`;

		setText(this.more.firstChild, `${server.state} for ${span(server.since_s)}; since the start ` +
			`${server.requests} requests, ${server.failures} failures, went down ${server.downs} times. ` +
			`To change it: tplbctl set server ${quoted} ${wanted}`);
	}
}

// The rows of one upstream.
class Group {
	constructor(upstream) {
		this.rows = new Map();
		this.sum = element("span", { class: "sum" });
		this.node = element("tbody", {}, element("tr", { class: "upstream" },
			element("th", { scope: "rowgroup", colspan: COLUMNS.length }, element("span", { class: "title" }, upstream), this.sum)));
	}
}

export class Servers {
	constructor(table, sum, filter) {
		this.table = table;
		this.sum = sum;
		this.filter = filter;
		this.groups = new Map();
		this.most = 1; // requests a second of the busiest one: all courses have one scale
		table.append(element("thead", {}, element("tr", {}, ...COLUMNS.map((name, i) => element("th", { scope: "col", class: CLASSES[i] }, name)))));
		filter.addEventListener("input", () => this.sift());
	}

	draw(model) {
		const { servers } = model.now;
		const shown = new Set();

		this.most = servers.reduce((most, s) => Math.max(most, model.course(s.key + ".requests").highest), 1);
		for (const server of servers) {
			const row = this.row(server);
			row.draw(server, model);
			shown.add(row);
		}
		this.drop(shown);
		this.count(servers);
		this.sift();
	}

	row(server) {
		let group = this.groups.get(server.upstream);

		if (!group) {
			group = new Group(server.upstream);
			this.groups.set(server.upstream, group);
			this.table.append(group.node);
		}
		let row = group.rows.get(server.key);
		if (!row) {
			row = new Row(server, this);
			group.rows.set(row.key, row);
			group.node.append(row.node, row.more);
		}
		return row;
	}

	drop(shown) {
		for (const [name, group] of this.groups) {
			for (const [key, row] of group.rows)
				if (!shown.has(row)) {
					row.node.remove();
					row.more.remove();
					group.rows.delete(key);
				}
			if (group.rows.size === 0) {
				group.node.remove();
				this.groups.delete(name);
			}
		}
	}

	count(servers) {
		const say = (some) => {
			const states = new Map();
			for (const s of some) states.set(s.state, (states.get(s.state) || 0) + 1);
			return [...states].map(([state, n]) => `${n} ${state}`).join(", ");
		};

		setText(this.sum, servers.length ? say(servers) : "none");
		for (const group of this.groups.values()) setText(group.sum, say([...group.rows.values()].map((r) => r.server)));
	}

	get rows() {
		return [...this.groups.values()].flatMap((g) => [...g.rows.values()]);
	}

	get visible() {
		return this.rows.filter((r) => !r.node.hidden);
	}

	// Shows what matches; one row at a time can be reached with the tabulator.
	sift() {
		const words = this.filter.value.toLowerCase().split(/\s+/).filter(Boolean);

		for (const row of this.rows) {
			const text = `${row.server.upstream}/${row.server.server} ${row.server.state}`.toLowerCase();
			row.node.hidden = !words.every((word) => text.includes(word));
			if (row.node.hidden) row.more.hidden = true;
		}
		for (const group of this.groups.values())
			group.node.hidden = [...group.rows.values()].every((row) => row.node.hidden);
		const { visible } = this;
		if (!visible.some((row) => row.node.tabIndex === 0)) this.offer(visible[0]);
	}

	offer(row) {
		for (const other of this.rows) if (other !== row && other.node.tabIndex === 0) other.node.tabIndex = -1;
		if (row) row.node.tabIndex = 0;
	}

	step(row, step) {
		const { visible } = this;
		const next = visible[visible.indexOf(row) + step];

		if (next) this.focus(next);
	}

	focus(row = this.rows.find((r) => r.node.tabIndex === 0)) {
		if (!row) return;
		this.offer(row);
		row.node.focus();
	}
}
