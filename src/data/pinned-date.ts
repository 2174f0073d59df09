/**
 * Some chat templates (Llama 3.1 and 3.2) write today's date into the system turn, so the same row would give other
 * tokens tomorrow. Here the date is a setting that stays.
 */

/** What Llama 3.1's template falls back to. */
export const PINNED_DATE = '2024-07-26';

const MONTHS = 'January February March April May June July August September October November December'.split(' ');

/**
 * Python's strftime at midnight of an ISO date ("2024-07-26"), for the letters that templates use; others stay as
 * written. Throws RangeError when the date is none.
 */
export function strftime(date: string, format: string): string {
  const match = /^(\d{4})-(\d{2})-(\d{2})$/.exec(date);
  const month = MONTHS[Number(match?.[2]) - 1];
  if (!match || !month) throw new RangeError(`"${date}" is not a date of the form 2024-07-26.`);
  const [, year, monthNumber, day] = match;
  return format.replace(/%(.)/g, (whole, letter: string) => {
    switch (letter) {
      case 'd':
        return day;
      case 'm':
        return monthNumber;
      case 'b':
        return month.slice(0, 3);
      case 'B':
        return month;
      case 'Y':
        return year;
      case 'y':
        return year.slice(2);
      case 'H':
      case 'M':
      case 'S':
        return '00';
      case '%':
        return '%';
      default:
        return whole;
    }
  });
}

/** What templates know of the date. The function's name is one that the Jinja renderer has no clock of its own for. */
export function dateVariables(date: string = PINNED_DATE): Record<string, unknown> {
  return { date_string: strftime(date, '%d %b %Y'), pinned_strftime_now: (format: string) => strftime(date, format) };
}

/** A template that asks for the pinned date where it would ask for today's. */
export function pinTemplateDate(template: string): string {
  return template.replace(/\bstrftime_now\b/g, 'pinned_strftime_now');
}
