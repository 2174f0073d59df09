/** Records of comma- or tab-separated text (RFC 4180: quoted fields may hold separators, newlines and "" for a quote). */

/** Longest field or record, in characters. */
const MAX_RECORD = 16 * 1024 * 1024;

export interface CsvRecord {
  /** 1-based line where the record begins. */
  line: number;
  fields: string[];
  /** True when the file ended, or MAX_RECORD was reached, inside a quoted field. */
  broken: boolean;
}

/** Takes text in, gives finished records out. */
export class CsvSplitter {
  readonly #separator: string;
  #fields: string[] = [];
  #field = '';
  #quoted = false;
  /** A quote was just read inside a quoted field: a second one stands for itself, anything else closes the field. */
  #closing = false;
  #line = 1;
  #begin = 1;
  #size = 0;

  constructor(separator: ',' | '\t' | ';') {
    this.#separator = separator;
  }

  push(text: string): CsvRecord[] {
    const records: CsvRecord[] = [];
    const special = this.#separator === ',' ? /[",\n\r]/g : this.#separator === ';' ? /[";\n\r]/g : /["\t\n\r]/g;
    let at = 0;
    while (at < text.length) {
      if (this.#quoted && !this.#closing) {
        const quote = text.indexOf('"', at);
        const end = quote < 0 ? text.length : quote;
        this.#append(text.slice(at, end), true);
        at = end + 1;
        if (quote >= 0) this.#closing = true;
        if (this.#size > MAX_RECORD) this.#finish(records, true);
        continue;
      }
      if (this.#closing) {
        this.#closing = false;
        if (text[at] === '"') {
          this.#append('"', false);
          at += 1;
          continue;
        }
        this.#quoted = false;
      }
      special.lastIndex = at;
      const found = special.exec(text);
      const end = found ? found.index : text.length;
      this.#append(text.slice(at, end), false);
      at = end + 1;
      if (!found) break;
      switch (found[0]) {
        case '"':
          // Inside an unquoted field a quote is text.
          if (this.#field === '') this.#quoted = true;
          else this.#append('"', false);
          break;
        case '\n':
          this.#line += 1;
          this.#finish(records, false);
          break;
        case '\r':
          break;
        default:
          this.#fields.push(this.#field);
          this.#field = '';
      }
      if (this.#size > MAX_RECORD) this.#finish(records, true);
    }
    return records;
  }

  end(): CsvRecord[] {
    const records: CsvRecord[] = [];
    if (this.#field !== '' || this.#fields.length > 0) this.#finish(records, this.#quoted && !this.#closing);
    return records;
  }

  #append(text: string, countLines: boolean): void {
    this.#field += text;
    this.#size += text.length;
    if (countLines) for (let i = text.indexOf('\n'); i >= 0; i = text.indexOf('\n', i + 1)) this.#line += 1;
  }

  #finish(records: CsvRecord[], broken: boolean): void {
    this.#fields.push(this.#field);
    const blank = this.#fields.length === 1 && this.#field.trim() === '';
    if (!blank || broken) records.push({ line: this.#begin, fields: this.#fields, broken });
    this.#fields = [];
    this.#field = '';
    this.#quoted = false;
    this.#closing = false;
    this.#size = 0;
    this.#begin = this.#line;
  }
}
