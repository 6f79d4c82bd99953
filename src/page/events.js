// The last events, the youngest first. They are asked for when there is a new one.
import { clock, day, element, setText } from "./format.js";

export class Events {
	constructor(list, ask) {
		this.list = list;
		this.ask = ask;
		this.last = -1; // the id of the youngest shown
	}

	// last: the id of the youngest there is.
	async draw(last) {
		if (last === this.last) return;
		const { events } = await this.ask();
		const fresh = last < this.last ? events : events.filter((e) => e.id > this.last);

		if (last < this.last) this.list.replaceChildren(); // another process
		this.list.prepend(...fresh.map(line).reverse());
		while (this.list.children.length > 200) this.list.lastChild.remove();
		this.last = events.length ? events[events.length - 1].id : last;
	}
}

function line(event) {
	const at = new Date(event.time);
	const time = element("time", { datetime: at.toISOString(), title: at.toLocaleString() });
	const today = at.toDateString() === new Date().toDateString();

	setText(time, (today ? "" : day(at) + " ") + clock(at));
	const mark = element("span", { class: "mark", title: event.level }, event.level === "info" ? "" : event.level);
	return element("li", { class: event.level }, time, mark, element("span", { class: "text" }, event.text));
}
