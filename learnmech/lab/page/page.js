// The lab's page: the model of the screen over one WebSocket. Messages with numbers are binary
// frames: uint32 length of the JSON, the JSON, and its buffers, each padded to 8 bytes.
import screen from "./screen.js";

const address = new URL(location.href);
const token = address.searchParams.get("token") ?? "";
const scheme = address.protocol === "https:" ? "wss:" : "ws:";
const listeners = new Map();
const waiting = [];
const words = new TextDecoder();
let socket = null;
let pause = 250;

function tell(name, ...given) {
  for (const act of [...(listeners.get(name) ?? [])]) act(...given);
}

function taken(frame) {
  const size = new DataView(frame).getUint32(0, true);
  const content = JSON.parse(words.decode(new Uint8Array(frame, 4, size)));
  let at = 4 + size;
  const buffers = content.buffers.map((bytes) => {
    const view = new DataView(frame, at, bytes);
    at += bytes + ((8 - (bytes % 8)) % 8);
    return view;
  });
  return [content, buffers];
}

function connect() {
  socket = new WebSocket(`${scheme}//${address.host}/socket?token=${encodeURIComponent(token)}`);
  socket.binaryType = "arraybuffer";
  socket.onopen = () => {
    pause = 250;
    for (const one of waiting.splice(0)) socket.send(one);
    tell("open");
  };
  socket.onmessage = ({ data }) => {
    const [content, buffers] = typeof data === "string" ? [JSON.parse(data), []] : taken(data);
    tell("msg:custom", content, buffers);
  };
  socket.onclose = () => {
    tell("msg:custom", { is: "away", said: "The lab does not answer. It is asked again." }, []);
    setTimeout(connect, pause);
    pause = Math.min(pause * 2, 5000);
  };
}

const model = {
  get: (name) => ({ kind: "lab", opening: null })[name],
  send(content) {
    const text = JSON.stringify(content);
    if (socket?.readyState === WebSocket.OPEN) socket.send(text);
    else if (waiting.length < 64) waiting.push(text);
  },
  on(name, act) {
    if (!listeners.has(name)) listeners.set(name, new Set());
    listeners.get(name).add(act);
  },
  off(name, act) {
    if (act) listeners.get(name)?.delete(act);
    else listeners.delete(name);
  },
};

connect();
screen.render({ model, el: document.getElementById("lab") });
