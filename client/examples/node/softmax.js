#!/usr/bin/env node
// SPDX-License-Identifier: Apache-2.0
//
// A complete stepd worker on nothing but the package protobufjs: softmax regression on
// Fashion-MNIST. Those in c, python, go and java beside this folder may train one job with it.
// protobufjs reads proto/stepd.proto itself, when the worker starts.
//
//     npm install protobufjs
//     node softmax.js ADDRESS RANK WORKERS DATA-FOLDER WEIGHTS-FILE
//
// The same bits as in the other languages: floats are computed in double, in the order of the loops
// of c/softmax.c, by + - * / alone; so no Math.exp(), whose last bit differs between machines.
'use strict';
const fs = require('fs'), net = require('net'), path = require('path'), zlib = require('zlib');
const protobuf = require('protobufjs');

const PIXELS = 784, CLASSES = 10, BATCH = 16, STEPS = 50, TEST = 1000, ROLLED_BACK = 17;
const BIASES = CLASSES * PIXELS, ALL = BIASES + CLASSES, STARTS = [0, BIASES]; // of w and b
const PROTO = path.join(__dirname, '../../../proto/stepd.proto');
const Frame = protobuf.loadSync(PROTO).lookupType('stepd.v1.Frame');
// 64-bit numbers as JavaScript's, exact up to 2^53; and fields that are 0 or empty as such.
const PLAIN = { longs: Number, arrays: true, defaults: true, oneofs: true };

function fail(text) {
  fs.writeSync(2, `softmax: ${text}\n`);
  process.exit(1);
}

// One connection: a varint length in front of each Frame, in both directions.
class Connection {
  received = Buffer.alloc(0); requests = 0;
  waiting = new Map(); // requests that have not been answered in full

  static async open(address, hello) {
    const connection = new Connection(), colon = address.lastIndexOf(':');
    const host = address.slice(0, colon).replace(/[[\]]/g, '');
    connection.socket = net.connect({ host, port: Number(address.slice(colon + 1)), noDelay: true });
    connection.socket.on('data', (chunk) => connection.take(chunk));
    connection.socket.on('error', (error) => fail(error.message));
    connection.socket.on('end', () => fail('the server has closed the connection'));
    [{ message: connection.welcome }] = await connection.ask({ hello: { protocol: 1, ...hello } });
    return connection;
  }

  // The replies to a request, each { message, payload }: Layout and Result may be several.
  ask(body, payload) {
    const header = { requestId: ++this.requests, ...body };
    this.socket.write(Frame.encodeDelimited({ header, payload }).finish());
    return new Promise((done) => this.waiting.set(header.requestId, { done, replies: [] }));
  }

  take(chunk) {
    this.received = Buffer.concat([this.received, chunk]);
    for (;;) {
      let length = 0, at = 0, byte = 0x80;
      for (; byte & 0x80; length |= (byte & 0x7f) << (7 * at++)) {
        if (at === this.received.length) return;
        byte = this.received[at];
      }
      if (this.received.length < at + length) return;
      const frame = Frame.toObject(Frame.decode(this.received.subarray(at, at + length)), PLAIN);
      this.received = this.received.subarray(at + length);
      this.hear(frame.header, frame.payload);
    }
  }

  hear(header, payload) {
    if (header.error) {
      const again = '\nsoftmax: start it again: it goes on from the server\'s version';
      fail(header.error.text + (header.error.code === ROLLED_BACK ? again : ''));
    }
    const request = this.waiting.get(header.requestId), message = header[header.body];
    request.replies.push({ message, payload });
    if (message.last === false) return;
    this.waiting.delete(header.requestId);
    request.done(request.replies);
  }
}

// e^x for x <= 0: the series of e^(x/1024) up to x^12, squared ten times.
function exponential(x) {
  if (x < -700) return 0;
  let p = 1;
  for (let k = 12; k > 0; k--) p = 1 + x / 1024 * p / k;
  for (let i = 0; i < 10; i++) p = p * p;
  return p;
}

function score(w, image) {
  return Array.from({ length: CLASSES }, (_, k) => {
    let z = w[BIASES + k];
    for (let j = 0; j < PIXELS; j++) z = z + w[k * PIXELS + j] * (image[j] / 255);
    return z;
  });
}

// Of the mean cross entropy over the batch; Float32Array rounds.
function gradient(w, batch) {
  const sum = new Float64Array(ALL);
  for (const { image, label } of batch) {
    const z = score(w, image), highest = Math.max(...z);
    const e = z.map((s) => exponential(s - highest));
    let total = 0;
    for (const one of e) total = total + one;
    for (let k = 0; k < CLASSES; k++) {
      const miss = e[k] / total - (k === label ? 1 : 0);
      const row = k * PIXELS;
      for (let j = 0; j < PIXELS; j++) sum[row + j] = sum[row + j] + miss * (image[j] / 255);
      sum[BIASES + k] = sum[BIASES + k] + miss;
    }
  }
  return Float32Array.from(sum, (s) => s / BATCH);
}

function pictures(folder, set, count) {
  const read = (name) => zlib.gunzipSync(fs.readFileSync(`${folder}/${set}-${name}-ubyte.gz`));
  const images = read('images-idx3').subarray(16), labels = read('labels-idx1').subarray(8);
  return Array.from({ length: count }, (_, i) => (
    { image: images.subarray(i * PIXELS, (i + 1) * PIXELS), label: labels[i] }));
}

function bytesOf(floats) {
  const bytes = Buffer.alloc(4 * floats.length);
  floats.forEach((value, i) => bytes.writeFloatLE(value, 4 * i));
  return bytes;
}

// The weights here, and where the elements of each slice of the shards stand in them.
class Model {
  static async attach(control, address) {
    const model = new Model();
    Object.assign(model, { w: new Float32Array(ALL), places: [], held: new Map() });
    for (const { message: layout } of await control.ask({ getLayout: {} })) {
      let part = 0;
      layout.sliceShards.forEach((shard, i) => {
        const places = [];
        for (const end = part + layout.sliceParts[i]; part < end; part++) {
          const first = STARTS[layout.partTensors[part]] + layout.partOffsets[part];
          for (let j = 0; j < layout.partElements[part]; j++) places.push(first + j);
        }
        if (!model.held.has(shard)) model.held.set(shard, { slices: [] });
        model.held.get(shard).slices.push(model.places.push(places) - 1);
      });
      model.incarnation = layout.incarnation;
    }
    const { session, shardAddresses } = control.welcome;
    for (const [shard, held] of model.held) {
      held.connection = await Connection.open(shardAddresses[shard - 1] || address, { session, shard });
    }
    return model;
  }

  // A Step of these slices with their gradient; without one, a Pull.
  request(slices, grad) {
    const { incarnation, version } = this;
    if (!grad) return [{ pull: { incarnation, slices } }];
    const places = slices.flatMap((slice) => this.places[slice]);
    const push = { incarnation, clock: version + 1, slices, baseVersions: [version], examples: BATCH };
    return [{ step: { push } }, bytesOf(places.map((place) => grad[place]))];
  }

  // Asks all shards before it waits for any, as workers must that wait for each other.
  async ask(grad) {
    const asked = [...this.held.values()].map(({ connection, slices }) => (
      connection.ask(...this.request(slices, grad))));
    const replies = (await Promise.all(asked)).flat();
    for (const { message, payload } of replies) {
      const places = message.slices.flatMap((slice) => this.places[slice]);
      places.forEach((place, i) => { this.w[place] = payload.readFloatLE(4 * i); });
    }
    this.version = Math.min(...replies.flatMap(({ message }) => message.versions));
  }
}

async function main(address, rank, workers, folder, out) {
  const control = await Connection.open(address, { job: 'softmax', worker: `node:${rank}`, rank });
  const sgd = { name: 'all', match: '*', optimizer: 'sgd', settings: [{ name: 'lr', values: [0.1] }] };
  await control.ask({ defineJob: { workers, groups: [sgd] } });
  const tensors = [{ name: 'w', shape: [CLASSES, PIXELS] }, { name: 'b', shape: [CLASSES] }];
  await control.ask({ defineTensors: { tensors, last: true } });
  const model = await Model.attach(control, address);
  setInterval(() => control.ask({ heartbeat: {} }), control.welcome.leaseMs / 3); // keeps the lease
  await model.ask();
  const train = pictures(folder, 'train', STEPS * workers * BATCH);
  while (model.version < STEPS) { // the version is the number of steps that have been made
    const first = (model.version * workers + rank) * BATCH;
    await model.ask(gradient(model.w, train.slice(first, first + BATCH)));
  }
  await control.ask({ leave: { clock: STEPS } });
  const best = (z) => z.indexOf(Math.max(...z)), test = pictures(folder, 't10k', TEST);
  const right = test.filter(({ image, label }) => best(score(model.w, image)) === label).length;
  console.log(`rank ${rank}, Node: ${(right * 100 / TEST).toFixed(1)} % of ${TEST} pictures right`);
  fs.writeFileSync(out, bytesOf(model.w));
  process.exit(0);
}

if (process.argv.length !== 7) fail('usage: softmax.js ADDRESS RANK WORKERS DATA-FOLDER WEIGHTS-FILE');
const [, , server, ...given] = process.argv;
main(server, Number(given[0]), Number(given[1]), given[2], given[3]);
