// SPDX-License-Identifier: Apache-2.0
// Records what real programs say to an RTMP server, as seed corpora and as fixtures of the unit tests.
//   node test/tools/record_rtmp.mjs HOST:PORT   (a running server; files go to test/data/rtmp)
// Each file holds all bytes of one direction of one connection: NAME.c2s (the client's) and NAME.s2c (the server's).
import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import net from 'node:net';
import path from 'node:path';

const [host, port] = (process.argv[2] ?? '127.0.0.1:1935').split(':');
const folder = path.join(import.meta.dirname ?? 'test/tools', '..', 'data', 'rtmp');

// A proxy for one connection that keeps what passes.
function proxy(name) {
  const seen = { c2s: [], s2c: [] };
  const server = net.createServer((client) => {
    const upstream = net.connect(port, host);
    client.on('data', (d) => { seen.c2s.push(d); upstream.write(d); });
    upstream.on('data', (d) => { seen.s2c.push(d); client.write(d); });
    for (const [a, b] of [[client, upstream], [upstream, client]]) {
      a.on('close', () => b.end());
      a.on('error', () => b.destroy());
    }
  });
  return new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve({
    port: server.address().port,
    save() {
      server.close();
      for (const [direction, chunks] of Object.entries(seen)) {
        const bytes = Buffer.concat(chunks);
        writeFileSync(path.join(folder, `${name}.${direction}`), bytes);
        console.log(`${name}.${direction}: ${bytes.length} bytes`);
      }
    },
  })));
}

function run(argv) {
  return new Promise((resolve) => {
    const child = spawn(argv[0], argv.slice(1), { stdio: ['ignore', 'ignore', 'inherit'] });
    child.on('exit', resolve);
  });
}

async function record(name, argv, kill) {
  const p = await proxy(name);
  const full = argv.map((a) => a.replace('URL', `rtmp://127.0.0.1:${p.port}/live/${name}?key=k`)
    .replace('PLAY', `rtmp://127.0.0.1:${p.port}/live/playme`));
  await run(kill ? ['timeout', '-s', 'INT', kill, ...full] : full);
  p.save();
}

const tiny = ['-f', 'lavfi', '-i', 'testsrc=s=64x48:r=10', '-f', 'lavfi', '-i', 'sine=r=44100', '-t', '1.5'];
const encode = ['-c:v', 'libx264', '-preset', 'veryfast', '-bf', '2', '-g', '10', '-b:v', '60k', '-c:a', 'aac', '-b:a', '24k', '-ac', '1'];
const quiet = ['ffmpeg', '-hide_banner', '-loglevel', 'error'];

await record('ffmpeg-publish', [...quiet, ...tiny, ...encode, '-f', 'flv', 'URL']);
await record('ffmpeg-audio', [...quiet, ...tiny, '-vn', '-c:a', 'libmp3lame', '-b:a', '32k', '-f', 'flv', 'URL']);
const gst = ['gst-launch-1.0', '-q', 'videotestsrc', 'num-buffers=15', '!', 'video/x-raw,width=64,height=48,framerate=10/1', '!',
  'x264enc', 'tune=zerolatency', 'bitrate=60', '!', 'h264parse', '!', 'flvmux', 'streamable=true', '!'];
await record('gst-rtmp2sink', [...gst, 'rtmp2sink', 'location=URL']);
await record('gst-rtmpsink', [...gst, 'rtmpsink', 'location=URL live=1']);
// Something to play while the players are recorded.
const source = spawn('ffmpeg', ['-hide_banner', '-loglevel', 'error', '-re', ...tiny.slice(0, -2), '-t', '30', ...encode, '-f', 'flv',
  `rtmp://${host}:${port}/live/playme`], { stdio: 'ignore' });
await new Promise((r) => setTimeout(r, 2000));
await record('ffmpeg-play', [...quiet, '-t', '1', '-i', 'PLAY', '-c', 'copy', '-f', 'null', '-']);
await record('gst-rtmpsrc', ['gst-launch-1.0', '-q', 'rtmpsrc', 'location=PLAY live=1', '!', 'fakesink'], '3');
await record('gst-rtmp2src', ['gst-launch-1.0', '-q', 'rtmp2src', 'location=PLAY', '!', 'fakesink'], '3');
source.kill('SIGINT');
