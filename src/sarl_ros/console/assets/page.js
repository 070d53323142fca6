// What the page does by itself: presses, keys, pictures, and noticing that its connection is gone.
(() => {
  "use strict";
  const DOUBLE_MS = 600, LOST_MS = 2000, ANSWER_MS = 6000, HOLD_ANSWER_MS = 2000, HOLD_TRIES = 4, HOLD_PATH = "/api/hold";
  const KEYS = { s: "start", y: "success", n: "failure", g: "subgoal", r: "reset_done", a: "abort", c: "clear" };
  const root = document.documentElement;
  const operates = () => root.dataset.role === "operator";
  const find = (selector) => document.querySelector(selector);

  // Light and dark. Dark unless the person chose otherwise on this device.
  const setTheme = (name) => { root.dataset.theme = name; };
  setTheme(localStorage.getItem("theme") === "light" ? "light" : "dark");
  const toggleTheme = () => {
    const name = root.dataset.theme === "light" ? "dark" : "light";
    localStorage.setItem("theme", name);
    setTheme(name);
  };

  // Answers to presses, said for a few seconds.
  const say = (words, kind) => {
    const line = document.createElement("div");
    line.className = `answer ${kind}`;
    line.textContent = words;
    const answers = find("#answers");
    if (kind !== "alarm") answers.querySelectorAll(".answer:not(.alarm)").forEach((old) => old.remove());
    answers.append(line);
    while (answers.children.length > 3) answers.firstChild.remove();
    setTimeout(() => line.remove(), kind === "alarm" ? 15000 : kind === "bad" ? 6000 : 3500);
  };

  // What waits for its answer and is not HOLD: HOLD calls it back.
  const waiting = new Set();
  const send = async (path, body, patienceMs = ANSWER_MS) => {
    const abort = new AbortController();
    if (path !== HOLD_PATH) waiting.add(abort);
    const timer = setTimeout(() => abort.abort(), patienceMs);
    try {
      const response = await fetch(path, {
        method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body),
        signal: abort.signal, keepalive: true, credentials: "same-origin",
      });
      const answer = await response.json().catch(() => ({}));
      return { status: response.status, accepted: answer.accepted === true, detail: answer.detail || answer.error || "" };
    } finally {
      clearTimeout(timer);
      waiting.delete(abort);
    }
  };

  // Buttons. A second press of the same one before its answer, or within 0.6 s, is the same press.
  const pressed = {};
  const label = (button) => button.querySelector(".label").textContent;
  const press = async (name) => {
    const button = find(`[data-press="${name}"]`);
    if (!button || !operates()) return;
    if (holding) {
      say(`${label(button)} was not sent: HOLD is still on its way.`, "bad");
      return;
    }
    if (Date.now() < (pressed[name] || 0)) return;
    if (button.getAttribute("aria-disabled") !== "false") {
      const why = button.querySelector(".why").textContent;
      say(`${label(button)} is not armed: ${why || "wait"}`, "bad");
      button.animate([{ transform: "translateX(-4px)" }, { transform: "translateX(4px)" }, { transform: "none" }], 150);
      pressed[name] = Date.now() + DOUBLE_MS;
      return;
    }
    pressed[name] = Infinity;
    const began = Date.now();
    root.dataset.sending = name;
    try {
      const answer = await send("/api/press", { button: name });
      say(`${label(button)}: ${answer.detail || (answer.accepted ? "done" : "refused")}`, answer.accepted ? "good" : "bad");
      if (navigator.vibrate) navigator.vibrate(answer.accepted ? 20 : [40, 60, 40]);
    } catch (why) {
      const words = typeof why === "string" ? why : "the console did not answer";
      say(`${label(button)} may not have got through: ${words}. Look before you press again.`, "alarm");
    } finally {
      pressed[name] = Math.max(Date.now(), began + DOUBLE_MS);
      delete root.dataset.sending;
    }
  };

  // HOLD goes out whatever the page believes of the connection, and is tried again until somebody answers.
  // The console joins those of one moment, and knows what others pressed in between: none is kept back here.
  let holding = 0;
  const hold = async () => {
    if (!operates()) return;
    holding += 1;
    waiting.forEach((abort) => abort.abort("HOLD goes first"));
    root.dataset.holding = "1";
    if (navigator.vibrate) navigator.vibrate(60);
    try {
      for (let tries = 1; ; tries++) {
        try {
          const answer = await send(HOLD_PATH, {}, HOLD_ANSWER_MS);
          say(`HOLD: ${answer.detail}`, answer.accepted ? "good" : "alarm");
          return;
        } catch {
          if (tries >= HOLD_TRIES) {
            say("HOLD could not be sent: the console does not answer. USE THE POWER SWITCH.", "alarm");
            return;
          }
          await new Promise((done) => setTimeout(done, 150 * tries));
        }
      }
    } finally {
      holding -= 1;
      if (!holding) delete root.dataset.holding;
    }
  };

  // Steering.
  const steer = async (body) => {
    try {
      const answer = await send("/api/steer", body);
      say(answer.detail || (answer.accepted ? "done" : "refused"), answer.accepted ? "good" : "bad");
      return answer.accepted;
    } catch {
      say("The console did not answer. Look before you try again.", "alarm");
      return false;
    }
  };
  const choose = async (prompt) => {
    const form = find("[data-steer-form]");
    if (!form || !form.dataset.awaits) {
      say("No decision waits for a prompt now.", "bad");
      return;
    }
    const chosen = { take_over: true, prompt, episode: Number(form.dataset.episode), step: Number(form.dataset.step) };
    if (await steer(chosen)) {
      const input = form.querySelector("input");
      input.value = "";
      input.blur();
    }
  };

  document.addEventListener("pointerdown", (event) => {
    if (event.target.closest("#hold")) { event.preventDefault(); hold(); }
  });
  document.addEventListener("click", (event) => {
    const at = (selector) => event.target.closest(selector);
    if (at("#hold")) {
      if (event.detail === 0) hold();  // by a key or a screen reader; a finger has held already when it came down
    } else if (at("[data-press]")) {
      at("[data-press]").blur();  // or Enter would press it again
      press(at("[data-press]").dataset.press);
    }
    else if (at("[data-theme-toggle]")) toggleTheme();
    else if (at('[data-steer="toggle"]')) {
      const on = at("[data-steer]").dataset.on === "1";
      steer({ take_over: !on, prompt: "", episode: 0, step: 0 });
    } else if (at('[data-pick]:not([data-pick=""])')) choose(at("[data-pick]").dataset.pick);
  });
  document.addEventListener("submit", (event) => {
    const form = event.target.closest("[data-steer-form]");
    if (!form) return;
    event.preventDefault();
    const prompt = form.querySelector("input").value.trim();
    if (prompt) choose(prompt);
  });

  // Keys. Space holds from anywhere; in a text field a single space is a space, a second one or a long one holds.
  // The bar counts, not the character: with AltGr or an input method it gives others.
  const isSpace = (event) => event.code === "Space" || event.key === " ";
  document.addEventListener("keydown", (event) => {
    const typing = event.target.matches("input, textarea");
    if (event.key === "Escape" || (isSpace(event) && !typing)) {
      event.preventDefault();
      if (!event.repeat) hold();
      if (typing) event.target.blur();
      return;
    }
    if (typing) {
      if (isSpace(event) && (event.repeat || event.target.value.slice(0, event.target.selectionStart).endsWith(" "))) {
        event.preventDefault();
        hold();
        event.target.blur();
      }
      return;
    }
    if (event.repeat || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "Enter" && event.target.matches("[data-pick]")) choose(event.target.dataset.pick);
    else if (event.key === ":") { event.preventDefault(); find(".steering.on input")?.focus(); }
    else if (event.key.toLowerCase() === "t") find('[data-steer="toggle"]')?.click();
    else if (KEYS[event.key.toLowerCase()]) press(KEYS[event.key.toLowerCase()]);
    else if (/^[\p{L}\p{N}]$/u.test(event.key)) say(`${event.key} is no key of this page.`, "bad");
  });
  // Otherwise letting go of the space bar would press whichever button has the focus.
  document.addEventListener("keyup", (event) => {
    if (isSpace(event) && !event.target.matches("input, textarea")) event.preventDefault();
  });
  document.addEventListener("focusin", () => { root.dataset.typing = document.activeElement.matches("input") ? "1" : ""; });
  document.addEventListener("focusout", () => { root.dataset.typing = ""; });

  // The connection is judged by what arrives: the server counts a number up ten times a second.
  let beat = "", beatAt = Date.now();
  setInterval(() => {
    const now = find("[data-beat]")?.dataset.beat ?? "";
    if (now !== beat) { beat = now; beatAt = Date.now(); }
    const lostMs = Date.now() - beatAt;
    const lost = lostMs > LOST_MS;
    root.dataset.link = lost ? "lost" : "up";
    const over = find(".top")?.dataset.state === "FINISHED";
    root.dataset.over = over ? "1" : "";
    const words = over ? "The run is over, and its console is closed." : `No connection to the console for ${Math.round(lostMs / 1000)} s. What you see is old. HOLD is still sent.`;
    find("#lost").textContent = lost ? words : "";
  }, 250);

  // Pictures: one websocket; each is answered once it is drawn, so that a slow phone gets fewer and never old ones.
  const frames = (window.consoleFrames = []);
  let socket = null;
  const drawn = (index, data) => new Promise((done) => {
    const image = find(`[data-camera="${index}"]`);
    if (!image) { done(); return; }
    const url = URL.createObjectURL(new Blob([data], { type: "image/jpeg" }));
    const old = image.dataset.url;
    image.onload = image.onerror = () => {
      const { naturalWidth: width, naturalHeight: height, parentElement: figure } = image;
      if (width && figure.dataset.size !== `${width} ${height}`) {
        figure.dataset.size = `${width} ${height}`;
        figure.style.aspectRatio = `${width} / ${height}`;
        figure.style.setProperty("--aspect", width / height);
      }
      if (old) URL.revokeObjectURL(old);
      done();
    };
    image.dataset.url = url;
    image.src = url;
    frames[index] = frames[index] || { count: 0, at: 0 };
    frames[index].count += 1;
    frames[index].at = Date.now();
  });
  const watch = () => {
    if (socket || document.hidden) return;
    const mine = (socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/api/cameras`));
    mine.binaryType = "arraybuffer";
    mine.onmessage = async (event) => {
      await drawn(new Uint8Array(event.data, 0, 1)[0], new Uint8Array(event.data, 1));
      if (mine.readyState === WebSocket.OPEN) mine.send("next");
    };
    mine.onclose = () => { if (socket === mine) socket = null; };
  };
  setInterval(() => {
    watch();
    document.querySelectorAll("[data-figure]").forEach((figure) => {
      const at = frames[figure.dataset.figure]?.at;
      const age = at ? Math.round((Date.now() - at) / 1000) : -1;
      figure.dataset.seen = at ? "1" : "";
      figure.querySelector(".age").textContent = age < 0 ? "no picture yet" : age > 1 ? `${age} s old` : "";
    });
  }, 500);
  document.addEventListener("visibilitychange", () => {
    if (document.hidden && socket) { socket.close(); socket = null; }
    else watch();
  });
})();
