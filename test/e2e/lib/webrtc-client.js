// SPDX-License-Identifier: Apache-2.0
// Runs in the browser (webrtc-page.mjs): speaks to Janus over a WebSocket, publishes into a VideoRoom or watches a mountpoint.
// What a test may ask is in window.rtc; all of it is plain data.

const state = {}; // of the one thing that this page does

class Session {
  #ws;
  #waiting = new Map();
  #next = 1;
  #id;
  events = [];
  closed = false;

  static async open(url, secret) {
    const session = new Session();
    session.secret = secret;
    session.#ws = new WebSocket(url, "janus-protocol");
    session.#ws.onmessage = (m) => session.#handle(JSON.parse(m.data));
    await new Promise((done, fail) => {
      session.#ws.onopen = done;
      session.#ws.onclose = () => {
        session.closed = true;
        clearInterval(session.timer);
        fail(new Error(`${url}: closed`));
      };
    });
    session.#id = (await session.#ask({ janus: "create" })).data.id;
    session.timer = setInterval(() => session.#ask({ janus: "keepalive" }), 2000);
    return session;
  }

  #handle(reply) {
    const asked = this.#waiting.get(reply.transaction);
    if (!asked || reply.janus === "ack") {
      if (reply.janus !== "ack") {
        this.events.push(reply);
      }
      return;
    }
    this.#waiting.delete(reply.transaction);
    const data = reply.plugindata?.data;
    const error = reply.error ?? (data?.error_code && { code: data.error_code, reason: data.error });
    if (error) {
      asked.fail(new Error(`${asked.what}: ${error.code} ${error.reason}`));
    } else {
      asked.done(reply);
    }
  }

  #ask(message) {
    const transaction = `page-${this.#next++}`;
    this.#ws.send(JSON.stringify({ ...message, session_id: this.#id, apisecret: this.secret, transaction }));
    const what = message.body?.request ?? message.janus;
    return new Promise((done, fail) => message.janus !== "keepalive" && this.#waiting.set(transaction, { done, fail, what }));
  }

  async attach(plugin) {
    this.handle = (await this.#ask({ janus: "attach", plugin: `janus.plugin.${plugin}` })).data.id;
  }

  async send(body, jsep) {
    const { plugindata, jsep: answer } = await this.#ask({ janus: "message", handle_id: this.handle, body, jsep });
    return { data: plugindata.data, jsep: answer };
  }

  async close() {
    if (!this.closed) {
      await this.#ask({ janus: "destroy" });
      this.#ws.close();
    }
  }
}

// All candidates are in the description: nothing is trickled.
async function localDescription(pc, description) {
  await pc.setLocalDescription(description);
  while (pc.iceGatheringState !== "complete") {
    await new Promise((done) => pc.addEventListener("icegatheringstatechange", done, { once: true }));
  }
  return { type: pc.localDescription.type, sdp: pc.localDescription.sdp };
}

function connection() {
  state.pc?.close();
  state.pc = new RTCPeerConnection();
  return state.pc;
}

async function connected(pc) {
  while (pc.connectionState !== "connected") {
    if (pc.connectionState === "failed" || pc.connectionState === "closed") {
      throw new Error(`WebRTC: ${pc.connectionState}`);
    }
    await new Promise((done) => pc.addEventListener("connectionstatechange", done, { once: true }));
  }
}

// What one codec has to offer, and nothing of the others. Janus forwards H.264 as it comes: packetization mode 1.
function prefer(transceiver, kind, codec) {
  const all = RTCRtpSender.getCapabilities(kind).codecs;
  const wanted = all.filter(
    (c) => c.mimeType.toLowerCase() === `${kind}/${codec}` && (codec !== "h264" || /packetization-mode=1;profile-level-id=42e01f/.test(c.sdpFmtpLine)),
  );
  transceiver.setCodecPreferences([...wanted, ...all.filter((c) => /\/rtx$/.test(c.mimeType))]);
}

const SIMULCAST = [
  { rid: "h", maxBitrate: 900000 },
  { rid: "m", maxBitrate: 300000, scaleResolutionDownBy: 2 },
  { rid: "l", maxBitrate: 100000, scaleResolutionDownBy: 4 },
];

function toneTrack(hz) {
  state.sound ??= new AudioContext();
  const oscillator = new OscillatorNode(state.sound, { frequency: hz });
  const out = new MediaStreamAudioDestinationNode(state.sound);
  oscillator.connect(new GainNode(state.sound, { gain: 0.5 })).connect(out);
  oscillator.start();
  return out.stream.getAudioTracks()[0];
}

async function soundTracks(audio) {
  if (Array.isArray(audio)) {
    return audio.map(toneTrack);
  }
  return audio ? (await navigator.mediaDevices.getUserMedia({ audio: true })).getAudioTracks() : [];
}

async function pictureTracks({ video, size: [width, height], rate }) {
  const constraints = { width, height, frameRate: rate };
  return video ? (await navigator.mediaDevices.getUserMedia({ video: constraints })).getVideoTracks() : [];
}

async function sendAll() {
  const o = state.options;
  const pc = connection();
  for (const track of state.sounds) {
    prefer(pc.addTransceiver(track, { direction: "sendonly" }), "audio", "opus");
  }
  for (const track of state.pictures) {
    prefer(pc.addTransceiver(track, { direction: "sendonly", sendEncodings: o.simulcast ? SIMULCAST : [{}] }), "video", o.video);
  }
  if (o.data) {
    state.channel = pc.createDataChannel("JanusDataChannel");
  }
  const offer = await localDescription(pc, await pc.createOffer());
  const body = { request: "configure", audio: state.sounds.length > 0, video: state.pictures.length > 0, data: o.data };
  const { jsep } = await state.session.send(body, offer);
  await pc.setRemoteDescription(jsep);
  await connected(pc);
  if (o.data && state.channel.readyState !== "open") {
    await new Promise((done) => (state.channel.onopen = done));
  }
  const mids = (kind) => pc.getTransceivers().filter((t) => t.sender.track?.kind === kind).map((t) => t.mid); // prettier-ignore
  const data = /m=application[^]*?a=mid:(\S+)/.exec(offer.sdp)?.[1];
  return { id: state.id, mids: { audio: mids("audio"), video: mids("video"), data: data ? [data] : [] } };
}

async function publish(options) {
  state.options = options;
  state.session = await Session.open(options.url, options.apiSecret);
  await state.session.attach("videoroom");
  const { room, pin, id, display } = options;
  state.id = (await state.session.send({ request: "join", ptype: "publisher", room, pin, id, display })).data.id;
  state.sounds ??= await soundTracks(options.audio);
  state.pictures ??= await pictureTracks(options);
  return sendAll();
}

async function unpublish() {
  await state.session.send({ request: "unpublish" });
  state.pc.close();
}

async function leave() {
  if (!state.session.closed) {
    await state.session.send({ request: state.options.room ? "leave" : "stop" }).catch(() => {});
  }
  state.pc?.close();
  await state.session.close();
}

// How loud a track is, and which tone is loudest in it.
function listen(track) {
  state.sound ??= new AudioContext();
  const analyser = new AnalyserNode(state.sound, { fftSize: 8192, smoothingTimeConstant: 0 });
  new MediaStreamAudioSourceNode(state.sound, { mediaStream: new MediaStream([track]) }).connect(analyser);
  const [wave, bins] = [new Float32Array(analyser.fftSize), new Float32Array(analyser.frequencyBinCount)];
  return () => {
    analyser.getFloatTimeDomainData(wave);
    analyser.getFloatFrequencyData(bins);
    const loudest = bins.reduce((best, v, i) => (v > bins[best] ? i : best), 0);
    return { peak: wave.reduce((a, b) => Math.max(a, Math.abs(b)), 0), hz: (loudest * state.sound.sampleRate) / analyser.fftSize };
  };
}

// Sound that no element plays does not reach an analyser.
function show(track) {
  const element = document.createElement(track.kind);
  Object.assign(element, { srcObject: new MediaStream([track]), muted: true, autoplay: true, playsInline: true });
  document.body.append(element);
  element.play().catch(() => {});
}

async function watch(options) {
  state.options = options;
  state.ears = {};
  state.messages = [];
  document.body.replaceChildren();
  state.session = await Session.open(options.url, options.apiSecret);
  await state.session.attach("streaming");
  const { jsep } = await state.session.send({ request: "watch", id: options.id, pin: options.pin });
  const pc = connection();
  let open;
  pc.ontrack = ({ track, transceiver }) => {
    show(track);
    if (track.kind === "audio") {
      state.ears[transceiver.mid] = listen(track);
    }
  };
  await pc.setRemoteDescription(jsep);
  if (/^m=application/m.test(jsep.sdp)) {
    // Janus opens no channel of itself: it sends by those that the viewer opened.
    const channel = pc.createDataChannel("JanusDataChannel");
    channel.binaryType = "arraybuffer";
    channel.onmessage = ({ data }) => state.messages.push(typeof data === "string" ? data : new TextDecoder().decode(data));
    open = new Promise((done) => (channel.onopen = done));
  }
  const answer = await localDescription(pc, await pc.createAnswer());
  await state.session.send({ request: "start" }, answer);
  await connected(pc);
  await open; // what is said before is not for us
}

// {publishing or watching: [{mid, kind, codec, ...}], connection, messages, events}
async function stats() {
  const report = [...(await state.pc.getStats()).values()];
  const codecs = Object.fromEntries(report.filter((r) => r.type === "codec").map((r) => [r.id, r.mimeType.split("/")[1].toLowerCase()]));
  const tracks = report.filter((r) => r.type === "inbound-rtp" || r.type === "outbound-rtp").map((r) => ({
    mid: r.mid,
    kind: r.kind,
    codec: codecs[r.codecId],
    ssrc: r.ssrc,
    rid: r.rid,
    packets: r.packetsReceived ?? r.packetsSent,
    lost: r.packetsLost,
    frames: r.framesDecoded ?? r.framesEncoded,
    keyFrames: r.keyFramesDecoded ?? r.keyFramesEncoded,
    width: r.frameWidth,
    height: r.frameHeight,
    samples: r.totalSamplesReceived,
    concealed: r.concealedSamples,
    ...(r.type === "inbound-rtp" && r.kind === "audio" && state.ears[r.mid]?.()),
  })); // prettier-ignore
  return { tracks, connection: state.pc.connectionState, closed: state.session.closed, messages: state.messages ?? [], events: state.session.events };
}

window.rtc = { publish, sendAll, unpublish, leave, watch, stats, say: (text) => state.channel.send(text), ask: (body) => state.session.send(body).then((r) => r.data) };
