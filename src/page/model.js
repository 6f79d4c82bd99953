// What the page knows: the last answer, and of each figure the last two minutes. Rates and latencies come from two answers in a row.

export const KEPT = 120;

// A figure's course; NaN where there was no answer.
export class Course {
	constructor() {
		this.values = [];
	}

	add(value) {
		this.values.push(value);
		if (this.values.length > KEPT) this.values.shift();
	}

	get last() {
		return this.values.length ? this.values[this.values.length - 1] : NaN;
	}

	get highest() {
		return this.values.reduce((most, v) => (v > most ? v : most), 0);
	}
}

// Of a histogram: counts of what was at most bounds[i], not added up; the last count is of what was more. q: 0 to 1. NaN: there was none.
export function quantile(bounds, counts, q) {
	const total = counts.reduce((sum, n) => sum + n, 0);
	let wanted = q * total;

	if (total === 0) return NaN;
	for (let i = 0; i < counts.length; i++) {
		if (counts[i] > 0 && counts[i] >= wanted) {
			if (i >= bounds.length) return bounds[bounds.length - 1];
			const low = i > 0 ? bounds[i - 1] : 0;
			return low + (bounds[i] - low) * (wanted / counts[i]);
		}
		wanted -= counts[i];
	}
	return bounds[bounds.length - 1];
}

function less(now, before) {
	return now.map((n, i) => Math.max(0, n - (before[i] || 0)));
}

// Of all listeners together.
function allTimes(answer) {
	return answer.listeners.reduce((sums, l) => {
		l.time.forEach((n, i) => (sums[i] = (sums[i] || 0) + n));
		return sums;
	}, []);
}

// Each row gets a key that it keeps; several may have one name, told apart by their order.
function name(rows, names) {
	const seen = new Map();

	for (const row of rows) {
		const words = JSON.stringify(names(row)), nth = (seen.get(words) || 0) + 1;
		seen.set(words, nth);
		row.key = words + nth;
	}
}

export class Model {
	constructor() {
		this.courses = new Map();
		this.now = null;
		this.before = null;
		this.restarted = false;
		this.ticks = 0; // that each course has
	}

	course(name) {
		let course = this.courses.get(name);

		if (!course) {
			course = new Course();
			for (let i = 0; i < this.ticks; i++) course.add(NaN);
			this.courses.set(name, course);
		}
		return course;
	}

	// Seconds between the two answers.
	get passed() {
		return (this.now.time_ms - this.before.time_ms) / 1000;
	}

	take(answer) {
		this.before = this.now;
		this.now = answer;
		name(answer.listeners, (l) => [l.listener, l.address]);
		name(answer.servers, (s) => [s.upstream, s.server]);
		this.restarted = false;
		if (this.before && (this.before.status.pid !== answer.status.pid || this.passed <= 0)) {
			this.restarted = this.before.status.pid !== answer.status.pid;
			this.before = null;
		}
		if (this.before && this.passed > 5) this.gap();
		if (this.before) this.derive();
		else this.gap();
	}

	// Nothing was heard: all courses have a hole.
	gap() {
		for (const course of this.courses.values()) course.add(NaN);
		this.ticks = Math.min(this.ticks + 1, KEPT);
	}

	// What a counter grew by in a second.
	rate(read) {
		const now = read(this.now), before = read(this.before);

		return now >= before ? (now - before) / this.passed : NaN;
	}

	counted(...names) {
		return this.rate((answer) => names.reduce((sum, name) => sum + (answer.counters[name] || 0), 0));
	}

	derive() {
		const seen = new Set();
		const add = (name, value) => {
			this.course(name).add(value);
			seen.add(name);
		};

		this.deriveProgram(add);
		for (const s of this.now.servers) this.deriveServer(s, add);
		for (const name of this.courses.keys()) if (!seen.has(name)) this.courses.delete(name);
		this.ticks = Math.min(this.ticks + 1, KEPT);
	}

	deriveProgram(add) {
		const { now } = this;

		add("requests", this.counted("requests"));
		add("failed", this.counted("requests_failed"));
		add("refused", this.counted("requests_refused", "refused_limit", "refused_client_connections"));
		for (const c of [2, 3, 4, 5]) add(c + "xx", this.counted(`responses_${c}xx`));
		add("in", this.counted("bytes_in"));
		add("out", this.counted("bytes_out"));
		add("accepted", this.counted("connections_accepted"));
		add("connections", now.status.connections);
		add("queue", now.queue.queue_depth);
		add("busy", busy(now.workers));
		this.deriveTimes("time", allTimes(now), allTimes(this.before), add);
		for (const l of now.listeners) {
			const was = this.before.listeners.find((o) => o.key === l.key);
			add(l.key + ".requests", was && l.requests >= was.requests ? (l.requests - was.requests) / this.passed : NaN);
		}
	}

	deriveTimes(name, now, before, add) {
		const counts = less(now, before || []);

		for (const q of [50, 99]) add(`${name}.${q}`, quantile(this.now.bounds_us, counts, q / 100) / 1e6);
	}

	deriveServer(s, add) {
		const was = this.before.servers.find((o) => o.key === s.key);
		const grown = (name) => (was && s[name] >= was[name] ? (s[name] - was[name]) / this.passed : NaN);
		const { key } = s;

		add(key + ".requests", grown("requests"));
		add(key + ".failures", grown("failures"));
		add(key + ".active", s.active === null ? NaN : s.active);
		this.deriveTimes(key + ".time", s.time, was && was.time, add);
	}
}

export function isBusy(worker) {
	return !["gone", "idle"].includes(worker.doing);
}

// Those that requests need: threads of the pool, or the loops where there are none.
export function busy(workers) {
	return crew(workers).filter((w) => isBusy(w)).length;
}

export function crew(workers) {
	const threads = workers.filter((w) => w.kind === "worker" && w.doing !== "gone");

	return threads.length ? threads : workers.filter((w) => w.kind === "loop");
}
