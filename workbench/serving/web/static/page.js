"use strict";
// Everything that comes back is shown as text, never as markup.
const gateway = document.querySelector('meta[name="gateway"]').content;
const place = (id) => document.getElementById(id);
const button = place("ask");
const SENTENCES = {
  400: "The model cannot read this review.",
  404: "The gateway has no such path: the page and the gateway do not belong together.",
  408: "The review did not arrive in time. Send it again.",
  413: "The review is too long.",
  429: "Too many questions at once. Wait a little, then ask again.",
  500: "Something failed on the server. The request's number helps to find out what.",
  502: "The function failed.",
  503: "The model is starting or stopping. Ask again in a moment.",
  504: "The model took too long.",
};

function trouble(text) {
  place("answer").hidden = true;
  place("trouble").textContent = text;
  place("trouble").hidden = false;
}

function shown(text, body, response, milliseconds) {
  const positive = body.probabilities.positive;
  place("trouble").hidden = true;
  place("answer").hidden = false;
  place("answer").className = body.answer === "positive" ? "positive" : "negative";
  place("word").textContent = body.answer === "positive" ? "Positive" : "Negative";
  place("share").style.width = `${(100 * positive).toFixed(1)}%`;
  place("chance").textContent = `Probability of positive: ${positive.toFixed(4)}`;
  place("echo").textContent = text;
  const header = (name) => Number(response.headers.get(name) || 0);
  const start = header("x-start-milliseconds");
  const hops = [
    `request ${response.headers.get("x-request-id")}`,
    `model ${body.version}`,
    `endpoint ${body.endpoint_milliseconds} ms`,
    `function ${header("x-function-milliseconds")} ms${start ? ` and ${start} ms to start` : ""}`,
    `gateway ${header("x-gateway-milliseconds")} ms`,
    `page ${milliseconds.toFixed(0)} ms`,
  ];
  place("hops").textContent = hops.join(" · ");
}

async function ask() {
  const text = place("review").value;
  if (button.disabled) return;
  if (!text.trim()) {
    trouble("Write a review first.");
    return;
  }
  button.disabled = true;
  const begin = performance.now();
  try {
    const response = await fetch(`${gateway}/predict`, { method: "POST", headers: { "content-type": "text/plain" }, body: text });
    const body = await response.json().catch(() => ({}));
    if (response.ok && body.probabilities) {
      shown(text, body, response, performance.now() - begin);
    } else {
      const told = typeof body.message === "string" ? ` ${body.message}` : "";
      const number = response.headers.get("x-request-id");
      trouble(`${SENTENCES[response.status] || `The server answered ${response.status}.`}${told}${number ? ` (request ${number})` : ""}`);
    }
  } catch {
    trouble("The server cannot be reached. Is it running?");
  } finally {
    button.disabled = false;
  }
}

button.addEventListener("click", ask);
place("review").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) ask();
});
