// Sessions over a WebSocket: `Session` and `Stream` around the functions of muxado.wasm.

const ACCEPTABLE = 1, READABLE = 2, WRITABLE = 3, OPENABLE = 4, OVER = 5;
const BLOCKED = -1;
// Bytes that the WebSocket may hold before the session keeps what it has to send.
const UNSENT = 1 << 20;

export class Session {
  #core;
  #socket;
  #waiting = new Map();
  #timer;
  #turn = false;
  #over = false;

  /** The client's end of a session over a WebSocket to `url`. */
  static async connect(url, wasm) {
    const { instance } = await WebAssembly.instantiateStreaming(fetch(wasm));
    const socket = new WebSocket(url);
    socket.binaryType = "arraybuffer";
    await new Promise((opened, failed) => {
      socket.onopen = opened;
      socket.onerror = () => failed(new Error(`no connection to ${url}`));
    });
    return new Session(instance.exports, socket);
  }

  constructor(core, socket) {
    this.#core = core;
    this.#socket = socket;
    this.#put(crypto.getRandomValues(new Uint8Array(16)));
    core.start(performance.now());
    socket.onmessage = ({ data }) => {
      this.#put(new Uint8Array(data));
      core.input(performance.now());
      this.#go();
    };
    socket.onclose = ({ wasClean }) => {
      core.eof(performance.now(), !wasClean);
      this.#go();
    };
  }

  /** Opens a stream; waits while there are as many as allowed. */
  async open() {
    for (;;) {
      this.#check();
      const id = this.#core.open();
      if (id !== 0) return new Stream(this, id);
      await this.#wait(OPENABLE, 0);
    }
  }

  /** The server's streams, one after the other, until the session is over. */
  async *[Symbol.asyncIterator]() {
    while (!this.#over) {
      const id = this.#core.accept();
      if (id !== 0) yield new Stream(this, id);
      else await this.#wait(ACCEPTABLE, 0);
    }
  }

  /** Closes the session once its streams have ended; gives the reason of its end. */
  async close() {
    this.#core.close(performance.now());
    this.#soon();
    while (!this.#over) await this.#wait(OVER, 0);
    return this.reason();
  }

  reason() {
    return new TextDecoder().decode(this.#get(this.#core.close_reason()));
  }

  async read(id) {
    for (;;) {
      const count = this.#core.read(id);
      if (count > 0) {
        const bytes = this.#get(count);
        this.#soon(); // there may be credit to grant
        return bytes;
      }
      if (count === 0) return null;
      if (count !== BLOCKED) throw new Error(`stream ${id} failed: ${this.reason() || "reset"}`);
      await this.#wait(READABLE, id);
    }
  }

  async write(id, bytes) {
    while (bytes.length > 0) {
      this.#put(bytes);
      const count = this.#core.write(id);
      if (count > 0) bytes = bytes.subarray(count);
      else if (count === BLOCKED) await this.#wait(WRITABLE, id);
      else throw new Error(`stream ${id} failed: ${this.reason() || "reset"}`);
      this.#soon();
    }
  }

  finish(id) {
    this.#core.finish(id);
    this.#soon();
  }

  release(id) {
    this.#core.release(id);
    this.#soon();
  }

  #check() {
    if (this.#over) throw new Error(`the session is over: ${this.reason()}`);
  }

  #put(bytes) {
    const at = this.#core.buffer(bytes.length);
    new Uint8Array(this.#core.memory.buffer, at, bytes.length).set(bytes);
  }

  /** A copy: the memory changes with the next call. */
  #get(count) {
    return new Uint8Array(this.#core.memory.buffer, this.#core.left(), count).slice();
  }

  #wait(kind, id) {
    if (this.#over) return Promise.resolve();
    return new Promise((woken) => {
      const key = `${kind} ${id}`;
      if (!this.#waiting.has(key)) this.#waiting.set(key, []);
      this.#waiting.get(key).push(woken);
    });
  }

  #wake(key) {
    for (const woken of this.#waiting.get(key) ?? []) woken();
    this.#waiting.delete(key);
  }

  /** What the tasks of this turn have done is sent together. */
  #soon() {
    if (this.#turn) return;
    this.#turn = true;
    queueMicrotask(() => {
      this.#turn = false;
      this.#go();
    });
  }

  #go() {
    const core = this.#core, socket = this.#socket;
    let full = false;
    while (socket.readyState === WebSocket.OPEN) {
      full = socket.bufferedAmount > UNSENT;
      if (full) break;
      const count = core.output(performance.now());
      if (count === 0) break;
      socket.send(this.#get(count));
    }
    for (let kind; (kind = core.event()) !== 0; ) {
      if (kind === OVER) {
        this.#over = true;
        for (const key of [...this.#waiting.keys()]) this.#wake(key);
      } else {
        this.#wake(`${kind} ${core.event_stream()}`);
      }
    }
    if (core.is_finished() && socket.bufferedAmount === 0) socket.close();
    clearTimeout(this.#timer);
    const next = core.next_time();
    if (socket.readyState === WebSocket.CLOSED) return;
    if (full || core.is_finished()) this.#timer = setTimeout(() => this.#go(), 5);
    else if (next >= 0) this.#timer = setTimeout(() => this.#go(), Math.max(0, next - performance.now()));
  }
}

export class Stream {
  constructor(session, id) {
    this.session = session;
    this.id = id;
  }

  /** The next bytes; `null` at the end. */
  read() {
    return this.session.read(this.id);
  }

  /** Writes all of it. */
  write(bytes) {
    return this.session.write(this.id, bytes);
  }

  /** Half-close: what was written is all. */
  finish() {
    this.session.finish(this.id);
  }

  /** What is written is sent, then the end of the stream; reading stops. */
  release() {
    this.session.release(this.id);
  }

  async text() {
    const decoder = new TextDecoder();
    let text = "";
    for (let bytes; (bytes = await this.read()) !== null; ) text += decoder.decode(bytes, { stream: true });
    return text + decoder.decode();
  }
}
