// The road of a request, with the names and figures of this tplb: from left to right, or downwards where there is little room.
import { duration, number, perSecond, plural, set, setText, shape } from "./format.js";
import { crew } from "./model.js";
import { Workers } from "./workers.js";

const LINE = 17; // pixels from a line of text to the next
const LISTENERS = 6; // of these, and
const SHOWN = 12; // servers one by one; of more than that each upstream is one box
const WIDE = 860; // pixels from which on there is room to the right
const TITLE = 26; // and those of an upstream's name above its servers
const STEP = 250; // ms from one step of what flows to the next: an animation would draw sixty pictures a second
const TRUNK = 14; // where there is not: pixels from the left, along which all flows

const ruler = document.createElement("canvas").getContext("2d");

function textWidth(text, node) {
	if (!node.font) {
		const { fontWeight, fontSize, fontFamily } = getComputedStyle(node); // not `font`: with tabular figures it is empty
		node.font = `${fontWeight} ${fontSize} ${fontFamily}`;
	}
	ruler.font = node.font;
	return ruler.measureText(text).width;
}

// A box with a title and lines of text, some of them at its right edge.
class Box {
	constructor(kind, title) {
		this.rect = shape("rect", { class: "box", rx: 8 });
		this.whole = title;
		this.title = shape("text", { class: "name" }, title);
		this.lines = [];
		this.node = shape("g", { class: kind }, shape("title", {}, title), this.rect, this.title);
	}

	place(x, y, w, h) {
		Object.assign(this, { x, y, w, h });
		for (const [key, value] of Object.entries({ x, y, width: w, height: h })) set(this.rect, key, value);
		set(this.title, "x", x + 12);
		set(this.title, "y", y + 21);
		return this;
	}

	// The title, or as much of it as there is room for.
	call(room) {
		let shown = this.whole;

		for (let n = shown.length - 1; n > 1 && textWidth(shown, this.title) > room; n--) shown = this.whole.slice(0, n) + "…";
		setText(this.title, shown);
	}

	say(...texts) {
		texts.forEach((text, i) => {
			if (!this.lines[i]) {
				this.lines[i] = shape("text", { x: this.x + 12, y: this.y + 21 + LINE * (i + 1) });
				this.node.append(this.lines[i]);
			}
			setText(this.lines[i], text);
		});
	}
}

// From one box to the next; what moves on it shows how much. The wider the more.
class Edge {
	constructor() {
		this.track = shape("path", { class: "track" });
		this.flow = shape("path", { class: "flow" });
		this.node = shape("g", { class: "edge" }, this.track, this.flow);
	}

	// To the right.
	join(from, to) {
		const x1 = from.x + from.w, y1 = from.y + from.h / 2, x2 = to.x, y2 = to.y + to.h / 2, half = (x2 - x1) / 2;

		this.follow(`M${x1} ${y1}C${x1 + half} ${y1} ${x2 - half} ${y2} ${x2} ${y2}`);
	}

	// Downwards along a trunk at the left; out of, or into, the side of a box that stands beside it.
	fall(from, to) {
		const start = from.x > TRUNK ? `M${from.x} ${from.y + from.h / 2}H${TRUNK}` : `M${TRUNK} ${from.y + from.h}`;

		this.follow(start + (to.x > TRUNK ? `V${to.y + to.h / 2}H${to.x}` : `V${to.y}`));
	}

	follow(d) {
		set(this.track, "d", d);
		set(this.flow, "d", d);
	}

	draw(speed, kind = "") {
		const flows = speed > 0;

		set(this.node, "class", `edge ${kind}${flows ? " flows" : ""}`);
		set(this.flow, "stroke-width", flows ? Math.min(4.5, 1.8 + Math.log10(1 + speed) * 0.6).toFixed(1) : 0);
	}
}

// Where there are several upstreams, the name of each above the first of its servers.
function headings(targets) {
	if (new Set(targets.map((t) => t.upstream)).size < 2) return [];
	return targets.map((t, i) => (i > 0 && targets[i - 1].upstream === t.upstream ? null : shape("text", { class: "heading" }, t.upstream)));
}

export class Picture {
	constructor(svg, caption, legend) {
		this.svg = svg;
		this.cells = shape("g", { class: "cells", tabindex: "0", role: "img", id: "workers" });
		this.workers = new Workers(this.cells, caption, legend);
		this.moved = 0;
		this.still = matchMedia("(prefers-reduced-motion: reduce)");
		setInterval(() => this.move(), STEP);
		new ResizeObserver(() => this.model && this.draw(this.model)).observe(svg.parentElement);
	}

	// What flows moves on, while somebody looks and wants it to.
	move() {
		const { classList } = document.body;

		if (document.hidden || this.still.matches || classList.contains("lost") || classList.contains("paused")) return;
		this.moved = (this.moved + 2) % 8.1;
		this.svg.style.setProperty("--moved", -this.moved);
	}

	draw(model) {
		this.model = model;
		const width = this.svg.parentElement.clientWidth;
		const form = JSON.stringify([width, crew(model.now.workers).length, model.now.status.engine,
			model.now.listeners.map((l) => [l.listener, l.address]), this.targets(model).map((t) => [t.upstream, t.name])]);

		if (form !== this.form) this.lay(model, width);
		this.form = form;
		this.drawBoxes(model);
		this.drawServers(model);
		this.workers.draw(model);
	}

	// The boxes at the right: servers, or upstreams where there are many.
	targets(model) {
		const { servers } = model.now;
		const requests = (s) => model.course(s.key + ".requests").last;

		if (servers.length <= SHOWN)
			return servers.map((s) => ({ name: s.server, upstream: s.upstream, state: s.state, note: s.state === "up" ? "" : s.state, rate: requests(s) }));
		return [...new Set(servers.map((s) => s.upstream))].slice(0, SHOWN).map((upstream) => {
			const members = servers.filter((s) => s.upstream === upstream);
			const up = members.filter((s) => s.state === "up").length;
			return { name: upstream, state: up === 0 ? "down" : up < members.length ? "partly" : "up", note: `${up} of ${members.length} up`,
				rate: members.reduce((sum, s) => sum + (requests(s) || 0), 0) };
		});
	}

	lay(model, width) {
		const { now } = model;
		const pool = now.status.engine === "pool";
		const targets = this.targets(model);
		const rest = [now.listeners.length - LISTENERS, targets.length === SHOWN ? new Set(now.servers.map((s) => s.upstream)).size - SHOWN : 0];

		this.rest = rest.map((n) => (n > 0 ? shape("text", { class: "hint" }, `and ${n} more`) : null));
		this.wide = width >= WIDE;
		this.listeners = now.listeners.slice(0, LISTENERS).map((l) => new Box("listener", l.listener));
		this.lot = new Box("lot", pool ? "acceptor" : "parking lots");
		this.queue = new Box("queue", "queue");
		this.fill = shape("rect", { class: "fill", rx: 3 });
		this.full = shape("rect", { class: "full", rx: 3 });
		this.pool = new Box("pool", pool ? "workers" : "event loops");
		this.servers = targets.map((t) => new Box("server", t.name));
		this.headings = headings(targets);
		this.into = this.listeners.map(() => new Edge());
		this.outof = this.servers.map(() => new Edge());
		this.middle = [new Edge(), new Edge()];
		this.back = new Edge();
		if (this.wide) this.layWide(width);
		else this.layDown(width);
		this.join();
		this.layRest();
		this.svg.replaceChildren(...[this.back, ...this.into, ...this.middle, ...this.outof].map((e) => e.node),
			...[...this.listeners, this.lot, this.queue, this.pool, ...this.servers].map((b) => b.node), ...[...this.headings, ...this.rest].filter(Boolean), this.full, this.fill, this.cells);
	}

	// How many are left out, below the last one that is not.
	layRest() {
		[this.listeners, this.servers].forEach((boxes, i) => {
			const last = boxes[boxes.length - 1];
			if (!this.rest[i]) return;
			set(this.rest[i], "x", last.x + 12);
			set(this.rest[i], "y", last.y + last.h + 14);
		});
	}

	size(width, height) {
		if (this.rest.some(Boolean)) height += LINE;
		set(this.svg, "viewBox", `0 0 ${width} ${height}`);
		set(this.svg, "height", height);
	}

	layWide(width) {
		const side = Math.min(230, Math.round(width * 0.19)), gap = Math.round(width * 0.045);
		const lot = Math.round(width * 0.135), queue = Math.round(width * 0.125);
		const pool = width - 2 * side - lot - queue - 4 * gap;
		const right = this.stack(0, 0, side, 8);
		const rows = Math.max(right, this.listeners.length * 56, 190);
		const middle = rows / 2;
		const column = (boxes, x, w, each, h) => boxes.forEach((b, i) => b.place(x, middle - (boxes.length * each) / 2 + i * each + (each - h) / 2, w, h));

		column(this.listeners, 0, side, 56, 48);
		this.lot.place(side + gap, middle - 50, lot, 100);
		this.queue.place(side + 2 * gap + lot, middle - 50, queue, 100);
		const x = side + 3 * gap + lot + queue;
		const inside = this.workers.lay({ x: x + 12, y: middle - rows / 2 + 52, w: pool - 24, h: Math.max(rows - 64, 100) }, this.workersCount());
		const tall = Math.max(inside + 58, 100);
		this.pool.place(x, middle - tall / 2, pool, tall);
		this.workers.lay({ x: x + 12, y: middle - tall / 2 + 52, w: pool - 24, h: Math.max(rows - 64, 100) }, this.workersCount());
		this.stack(x + pool + gap, middle - right / 2, side, 8);
		this.gauge();
		this.size(width, Math.max(rows, middle + tall / 2 + 32));
	}

	// The servers below each other, with their upstreams' names; returns the height.
	stack(x, y, width, between) {
		const top = y;

		this.servers.forEach((box, i) => {
			const heading = this.headings[i];
			if (heading) {
				set(heading, "x", x + 2);
				set(heading, "y", y + TITLE - 9);
				y += TITLE;
			}
			box.place(x, y, width, 36);
			y += 36 + between;
		});
		return y - between - top;
	}

	workersCount() {
		return crew(this.model.now.workers).length;
	}

	layDown(width) {
		const gap = 22;
		let y = 1;

		this.listeners.forEach((b, i) => b.place(TRUNK * 2, y + i * 54, width - TRUNK * 2, 48));
		y += this.listeners.length * 54 - 6 + gap;
		this.lot.place(0, y, width, 66);
		y += 66 + gap;
		this.queue.place(0, y, width, 82);
		y += 82 + gap;
		const inside = this.workers.lay({ x: 12, y: y + 52, w: width - 24, h: 150 }, this.workersCount());
		this.pool.place(0, y, width, inside + 58);
		y += inside + 58 + gap;
		y += this.stack(TRUNK * 2, y, width - TRUNK * 2, 6) + gap;
		this.gauge();
		this.size(width, y - gap + 2);
	}

	gauge() {
		const { x, y, w, h } = this.queue;

		for (const [key, value] of Object.entries({ x: x + 12, y: y + h - 18, width: w - 24, height: 7 })) {
			set(this.full, key, value);
			set(this.fill, key, key === "width" ? 0 : value);
		}
	}

	join() {
		const connect = (edge, from, to) => (this.wide ? edge.join(from, to) : edge.fall(from, to));

		this.into.forEach((edge, i) => connect(edge, this.listeners[i], this.lot));
		connect(this.middle[0], this.lot, this.queue);
		connect(this.middle[1], this.queue, this.pool);
		this.outof.forEach((edge, i) => connect(edge, this.pool, this.servers[i]));
		if (!this.wide) return;
		const from = this.pool, to = this.lot;
		const low = Math.max(from.y + from.h, to.y + to.h) + 26;
		const x1 = from.x + from.w / 2, x2 = to.x + to.w / 2;
		this.back.follow(`M${x1} ${from.y + from.h}C${x1} ${low} ${x1 - 30} ${low} ${x1 - 60} ${low}L${x2 + 60} ${low}` +
			`C${x2 + 30} ${low} ${x2} ${low} ${x2} ${to.y + to.h}`);
		this.home = shape("text", { class: "hint", x: (x1 + x2) / 2, y: low - 6, "text-anchor": "middle" }, "answered: parked again");
		this.back.node.append(this.home);
	}

	drawBoxes(model) {
		const { now } = model;
		const requests = model.course("requests").last, depth = now.queue.queue_depth;
		const busy = model.course("busy").last, count = crew(now.workers).length;
		const refused = model.course("refused").last;

		now.listeners.slice(0, this.listeners.length).forEach((l, i) => {
			this.listeners[i].call(this.listeners[i].w - 24);
			this.listeners[i].say(l.address);
			this.into[i].draw(model.course(l.key + ".requests").last);
		});
		const acceptor = now.workers.find((w) => w.kind === "acceptor" && w.stuck);

		this.lot.say(plural(now.status.connections, "connection"),
			acceptor ? `stuck for ${duration(acceptor.age_us / 1e6)}` : `${perSecond(model.course("accepted").last)} new`);
		this.lot.node.classList.toggle("stuck", Boolean(acceptor));
		this.queue.say(`${number(depth)} of ${number(now.queue.queue_size)}`, depth > 0 ? `oldest ${duration(now.queue.queue_oldest_us / 1e6)}` :
			refused > 0 ? `${perSecond(refused)} refused` : "");
		set(this.fill, "width", Math.max(0, (this.queue.w - 24) * Math.min(1, Math.sqrt(depth / now.queue.queue_size))).toFixed(1));
		this.queue.node.classList.toggle("much", depth >= 0.5 * now.queue.queue_size);
		this.pool.say(`${Number.isFinite(busy) ? busy : 0} of ${count} busy`);
		for (const edge of [...this.middle, this.back]) edge.draw(requests);
	}

	drawServers(model) {
		this.targets(model).forEach((target, i) => {
			const box = this.servers[i];

			set(box.node, "class", "server " + target.state);
			if (!box.figure) {
				box.figure = shape("text", { class: "figure", "text-anchor": "end", x: box.x + box.w - 10, y: box.y + 23 });
				set(box.title, "x", box.x + 26);
				set(box.title, "y", box.y + 23);
				box.node.append(shape("circle", { class: "dot", cx: box.x + 14, cy: box.y + box.h / 2, r: 4 }), box.figure);
			}
			const figure = target.note && !(target.rate > 0) ? target.note : perSecond(target.rate);
			setText(box.figure, figure);
			box.call(box.w - 46 - textWidth(figure, box.figure));
			this.outof[i].draw(target.rate, target.state + " ");
		});
	}
}
