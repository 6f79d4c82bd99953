// Asks once a second while somebody looks, and hands what comes to those who draw.
import { Events } from "./events.js";
import { Figures } from "./figures.js";
import { clock, set, setText, span } from "./format.js";
import { Model } from "./model.js";
import { Picture } from "./picture.js";
import { Servers } from "./servers.js";

const EVERY = 1000; // ms
const PATIENCE = 5000; // ms for an answer
const AGAIN = [1000, 2000, 4000, 5000]; // ms to wait after failures

const at = (id) => document.getElementById(id);

const model = new Model();
const figures = new Figures(at("figures"));
const picture = new Picture(at("picture"), at("doing"), at("legend"));
const servers = new Servers(at("table"), at("servers-sum"), at("filter"));
const events = new Events(at("log"), () => ask("events.json"));

let timer = 0, failures = 0, lost = 0, paused = false, asking = false;

async function ask(path) {
	const answer = await fetch(path, { cache: "no-store", signal: AbortSignal.timeout(PATIENCE) }).catch((error) => {
		throw new Error(error.name === "TimeoutError" ? `no answer for ${PATIENCE / 1000} s` : "there is no connection");
	});

	if (!answer.ok) throw new Error(`${path}: ${answer.status} ${answer.statusText}`);
	return answer.json();
}

function draw() {
	const { status } = model.now;

	setText(at("program"), `${status.version} · ${status.engine === "pool" ? "thread pool" : "event loops"} · process ${status.pid} · up ${span(status.uptime_s)}`);
	at("state").hidden = false;
	setText(at("state"), status.state);
	set(at("state"), "class", "pill " + status.state);
	const away = model.now.servers.filter((s) => s.state === "down").length;
	document.title = (away ? `(${away} down) ` : "") + "tplb";
	figures.draw(model);
	picture.draw(model);
	servers.draw(model);
}

function found() {
	failures = 0;
	lost = 0;
	at("gone").hidden = true;
	document.body.classList.remove("lost");
	setText(at("beat"), "live");
	set(at("beat"), "class", "live");
}

function missing(error) {
	const next = AGAIN[Math.min(failures, AGAIN.length - 1)];

	failures++;
	lost ||= Date.now();
	if (model.now) model.gap();
	at("gone").hidden = false;
	setText(at("gone"), `tplb has not answered since ${clock(new Date(lost))} (${error.message}). ` +
		`${model.now ? "What you see is how it was then. " : ""}It is asked again every few seconds.`);
	document.body.classList.add("lost");
	document.title = "(gone) tplb";
	setText(at("beat"), "gone");
	set(at("beat"), "class", "gone");
	return next;
}

async function tick() {
	let next = EVERY;

	if (asking) return;
	asking = true;
	try {
		take(await ask("status.json"));
		await events.draw(model.now.events_last);
		found();
	} catch (error) {
		next = missing(error);
	}
	asking = false;
	plan(next);
}

// A mistake of ours is no silence of tplb's.
function take(answer) {
	try {
		model.take(answer);
		draw();
	} catch (error) {
		console.error(error);
	}
}

// Nobody looks: nothing is asked.
function plan(ms) {
	clearTimeout(timer);
	if (!paused && !document.hidden) timer = setTimeout(tick, ms);
}

function pause() {
	paused = !paused;
	set(at("pause"), "aria-pressed", paused);
	document.body.classList.toggle("paused", paused);
	if (paused) {
		setText(at("beat"), "paused");
		set(at("beat"), "class", "paused");
	}
	plan(0);
}

// "auto", "light" or "dark"; kept by the browser where it may.
function theme(wanted) {
	if (wanted === "auto") delete document.documentElement.dataset.theme;
	else document.documentElement.dataset.theme = wanted;
	setText(at("theme"), "Theme: " + wanted);
	try {
		localStorage.setItem("theme", wanted);
	} catch { /* it may not */ }
}

function nextTheme() {
	theme({ auto: "light", light: "dark", dark: "auto" }[document.documentElement.dataset.theme || "auto"]);
}

function storedTheme() {
	try {
		return ["light", "dark"].find((t) => t === localStorage.getItem("theme")) || "auto";
	} catch {
		return "auto";
	}
}

const KEYS = {
	"?": () => at("help").showModal(),
	p: pause,
	t: nextTheme,
	w: () => at("workers").focus(),
	s: () => (servers.visible.length ? servers.focus() : at("servers").focus()),
	e: () => at("lines").focus(),
	"/": () => at("filter").focus(),
};

document.addEventListener("keydown", (event) => {
	const types = event.target.matches("input, textarea, select");

	if (event.key === "Escape" && event.target === at("filter")) {
		at("filter").value = "";
		servers.sift();
		at("filter").blur();
	}
	if (types || event.ctrlKey || event.metaKey || event.altKey || at("help").open || !(event.key in KEYS)) return;
	event.preventDefault();
	KEYS[event.key]();
});
at("pause").addEventListener("click", pause);
at("theme").addEventListener("click", nextTheme);
at("keys").addEventListener("click", KEYS["?"]);
document.addEventListener("visibilitychange", () => plan(0));

theme(storedTheme());
tick();
