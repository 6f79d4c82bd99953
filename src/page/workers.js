// The cells of the picture: one a worker or loop, which shows what it does now; and the legend below.
import { duration, element, number, set, setText, shape } from "./format.js";
import { busy, crew } from "./model.js";

// What a worker does, in the order of a request: its colour (page.css) and what it means.
const DOINGS = {
	idle: "waits for something to do",
	turn: "accepts, parks, wakes fibers, expires",
	head: "reads a request's head",
	pick: "picks a server",
	connect: "connects to the server",
	send: "sends the request to the server",
	wait: "waits for servers",
	answer: "reads the answer's head",
	body: "sends the answer to the client",
	tunnel: "moves the bytes of a tunnel",
	refuse: "answers in a server's place",
	finish: "logs, lets go of the server's connection",
	settle: "parks or closes the client's connection",
	hold: "waits for the client's next request",
	tick: "keeps house",
	stuck: "does not get on",
};

const LARGEST = 34, LARGE = 22; // pixels: of a cell, and from which on it has room for a number

export const doingOf = (worker) => (worker.stuck ? "stuck" : worker.doing in DOINGS ? worker.doing : "other");

export class Workers {
	constructor(group, caption, legend) {
		this.group = group;
		this.caption = caption;
		this.legend = legend;
		this.cells = [];
		this.at = -1; // the one that the caption is about
		group.addEventListener("keydown", (event) => this.key_down(event));
		group.addEventListener("focus", () => this.select(Math.max(this.at, 0)));
		group.addEventListener("blur", () => this.select(-1));
		group.addEventListener("pointerover", (event) => this.select(this.cells.indexOf(event.target)));
		group.addEventListener("pointerleave", () => this.focused || this.select(-1));
	}

	// Within this box: cells as large as fit, with what each has in hand where there is room for it. Returns the height that they take.
	lay(box, count) {
		const size = cellSize(box.w, box.h, count);
		const gap = gapOf(size);

		this.columns = Math.max(1, Math.floor((box.w + gap) / (size + gap)));
		this.count = count;
		this.cells = Array.from({ length: count }, (_, i) => shape("rect", { class: "cell idle",
			x: box.x + (i % this.columns) * (size + gap), y: box.y + Math.floor(i / this.columns) * (size + gap),
			width: size, height: size, rx: size > 8 ? 3 : 1 }));
		this.held = size < LARGE ? [] : this.cells.map((cell) => shape("text", { class: "held",
			x: Number(cell.getAttribute("x")) + size / 2, y: Number(cell.getAttribute("y")) + size / 2 + 4 }));
		this.ring = shape("rect", { class: "ring", width: size + 4, height: size + 4, rx: size > 8 ? 4 : 2, visibility: "hidden" });
		this.group.replaceChildren(...this.cells, ...this.held, this.ring);
		this.select(this.focused ? Math.min(Math.max(this.at, 0), count - 1) : -1);
		return Math.ceil(count / this.columns) * (size + gap);
	}

	draw(model) {
		const workers = crew(model.now.workers);

		this.workers = workers;
		workers.forEach((worker, i) => {
			if (this.cells[i]) set(this.cells[i], "class", "cell " + doingOf(worker));
			if (!this.held[i]) return;
			set(this.held[i], "class", "held " + doingOf(worker));
			setText(this.held[i], worker.in_hand ? number(worker.in_hand) : "");
		});
		set(this.group, "aria-label", `${workers.length} ${model.now.status.engine === "pool" ? "workers" : "loops"}, ${busy(workers)} busy`);
		this.drawLegend(workers);
		this.say();
	}

	drawLegend(workers) {
		const counts = new Map();

		for (const worker of workers) counts.set(doingOf(worker), (counts.get(doingOf(worker)) || 0) + 1);
		if (!this.items) {
			this.items = new Map();
			for (const doing of [...Object.keys(DOINGS), "other"]) {
				const count = element("b");
				const item = element("li", { title: DOINGS[doing] || "" }, element("span", { class: "key cell " + doing, "aria-hidden": "true" }),
					doing, " ", count);
				this.items.set(doing, { item, count, seen: doing === "idle" });
				this.legend.append(item);
			}
		}
		for (const [doing, entry] of this.items) {
			entry.seen ||= counts.has(doing);
			entry.item.hidden = !entry.seen;
			setText(entry.count, String(counts.get(doing) || 0));
		}
	}

	get focused() {
		return this.group.matches(":focus");
	}

	select(at) {
		this.at = at;
		const cell = this.cells[at];
		if (this.ring) set(this.ring, "visibility", cell ? "visible" : "hidden");
		if (cell) {
			set(this.ring, "x", cell.getAttribute("x") - 2);
			set(this.ring, "y", cell.getAttribute("y") - 2);
		}
		this.say();
	}

	say() {
		const worker = this.workers && this.workers[this.at];

		setText(this.caption, worker ? describe(worker) : "");
		set(this.caption, "aria-live", this.focused ? "polite" : "off");
	}

	key_down(event) {
		const step = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: this.columns, ArrowUp: -this.columns }[event.key];
		const to = event.key === "Home" ? 0 : event.key === "End" ? this.count - 1 : this.at + step;

		if (!(to >= 0 && to < this.count)) return;
		this.select(to);
		event.preventDefault();
	}
}

function describe(worker) {
	const parts = [`${worker.kind} ${worker.worker}: ${worker.stuck ? "stuck at " : ""}${worker.doing}`];
	const means = DOINGS[worker.doing];

	if (means) parts[0] += ` (${means})`;
	if (worker.server) parts.push(worker.server);
	if (worker.fd !== undefined) parts.push(`descriptor ${worker.fd}`);
	if (worker.in_hand) parts.push(`${number(worker.in_hand)} in hand`);
	if (worker.age_us) parts.push(`for ${duration(worker.age_us / 1e6)}`);
	return parts.join(", ");
}

function gapOf(size) {
	return size >= LARGE ? 4 : size > 8 ? 3 : 1;
}

// The largest square of which so many fit.
function cellSize(width, height, count) {
	for (let size = LARGEST; size > 2; size--) {
		const gap = gapOf(size);
		const columns = Math.floor((width + gap) / (size + gap));
		if (columns * Math.floor((height + gap) / (size + gap)) >= count) return size;
	}
	return 2;
}
