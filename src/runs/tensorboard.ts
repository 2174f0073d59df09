/**
 * A run's curves as a TensorBoard event file: TFRecords (length, masked CRC-32C of it, data, masked CRC-32C of that) of
 * `tensorflow.Event` messages, the tags as transformers' TensorBoardCallback names them. Formats:
 * https://github.com/tensorflow/tensorflow/blob/master/tensorflow/core/lib/io/record_writer.h and
 * https://github.com/tensorflow/tensorboard/blob/master/tensorboard/compat/proto/event.proto
 */
import type { EvalRecord, StepRecord } from '../train/records';

/** CRC-32C (Castagnoli), reflected. */
const POLYNOMIAL = 0x82f63b78;
const MASK_DELTA = 0xa282ead8;
const TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ POLYNOMIAL : crc >>> 1;
  return crc >>> 0;
});

/** TFRecord's checksum: rotated and shifted, so that a checksum of data that holds checksums stays good. */
export function maskedCrc32c(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) crc = TABLE[(crc ^ byte) & 0xff] ^ (crc >>> 8);
  crc = (crc ^ 0xffffffff) >>> 0;
  return (((crc >>> 15) | (crc << 17)) + MASK_DELTA) >>> 0;
}

/** Protocol-buffer fields, one after the other. */
class Message {
  readonly bytes: number[] = [];

  #varint(value: number): void {
    let left = value;
    while (left >= 0x80) {
      this.bytes.push((left % 0x80) | 0x80);
      left = Math.floor(left / 0x80);
    }
    this.bytes.push(left);
  }

  #scalar(size: number, write: (view: DataView) => void): this {
    const view = new DataView(new ArrayBuffer(size));
    write(view);
    this.bytes.push(...new Uint8Array(view.buffer));
    return this;
  }

  double(field: number, value: number): this {
    this.#varint(field * 8 + 1);
    return this.#scalar(8, (view) => view.setFloat64(0, value, true));
  }

  float(field: number, value: number): this {
    this.#varint(field * 8 + 5);
    return this.#scalar(4, (view) => view.setFloat32(0, value, true));
  }

  /** A whole number of at least 0. */
  int(field: number, value: number): this {
    this.#varint(field * 8);
    this.#varint(value);
    return this;
  }

  block(field: number, content: ArrayLike<number>): this {
    this.#varint(field * 8 + 2);
    this.#varint(content.length);
    for (let i = 0; i < content.length; i++) this.bytes.push(content[i]);
    return this;
  }

  text(field: number, text: string): this {
    return this.block(field, new TextEncoder().encode(text));
  }
}

function tfRecord(data: Uint8Array): Uint8Array<ArrayBuffer> {
  const record = new Uint8Array(16 + data.length);
  const view = new DataView(record.buffer);
  view.setBigUint64(0, BigInt(data.length), true);
  view.setUint32(8, maskedCrc32c(record.subarray(0, 8)), true);
  record.set(data, 12);
  view.setUint32(12 + data.length, maskedCrc32c(data), true);
  return record;
}

/** transformers' `rewrite_logs`: `eval_` becomes a folder of its own, all else goes under `train/`. */
const tagOf = (name: string): string => (name.startsWith('eval_') ? `eval/${name.slice(5)}` : `train/${name}`);

/** @param wallTime seconds since 1970 */
function scalars(record: object, step: number, wallTime: number): Uint8Array<ArrayBuffer> {
  const summary = new Message();
  for (const [name, value] of Object.entries(record as Record<string, number>)) {
    if (name === 'step') continue;
    summary.block(1, new Message().text(1, tagOf(name)).float(2, value).bytes);
  }
  const event = new Message().double(1, wallTime).int(2, step).block(5, summary.bytes);
  return tfRecord(Uint8Array.from(event.bytes));
}

export interface TimedCurves {
  steps: readonly StepRecord[];
  evals: readonly EvalRecord[];
  /** When the run began and how long its steps took, in seconds; a step's own time is not kept, so they are spread evenly. */
  began: number;
  seconds: number;
}

/** The parts of an event file, in order. */
export function eventFile({ steps, evals, began, seconds }: TimedCurves): Uint8Array<ArrayBuffer>[] {
  const last = Math.max(1, steps.at(-1)?.step ?? 1);
  const at = (step: number) => began + (seconds * step) / last;
  const version = new Message().double(1, began).text(3, 'brain.Event:2');
  const rows = [...steps, ...evals].sort((a, b) => a.step - b.step); // stable: steps first
  return [tfRecord(Uint8Array.from(version.bytes)), ...rows.map((row) => scalars(row, row.step, at(row.step)))];
}

/** TensorBoard looks for files whose names hold `tfevents`. */
export const eventFileName = (began: number): string => `events.out.tfevents.${Math.floor(began)}.orpo-studio.0`;
