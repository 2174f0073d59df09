/** Drawings of the page as files. */

const STYLED = ['fill', 'stroke', 'stroke-width', 'stroke-opacity', 'font-size', 'font-family', 'font-weight'] as const;

/** A copy of a drawing that stands alone: what style sheets and the theme gave it is written into it. */
function standalone(svg: SVGSVGElement): SVGSVGElement {
  const copy = svg.cloneNode(true) as SVGSVGElement;
  const [from, to] = [svg, copy].map((root) => [...root.querySelectorAll<SVGElement>('*')]);
  from.forEach((element, i) => {
    const style = getComputedStyle(element);
    for (const name of STYLED) to[i].setAttribute(name, style.getPropertyValue(name));
    to[i].removeAttribute('class');
  });
  return copy;
}

const NS = 'http://www.w3.org/2000/svg';

/** Several drawings under one another, with the theme's background, as the text of one SVG file. */
export function svgText(svgs: readonly SVGSVGElement[]): { text: string; width: number; height: number } {
  const boxes = svgs.map((svg) => svg.getBoundingClientRect());
  const width = Math.ceil(Math.max(1, ...boxes.map((box) => box.width)));
  const height = Math.ceil(boxes.reduce((sum, box) => sum + box.height, 0));
  const whole = document.createElementNS(NS, 'svg');
  whole.setAttribute('xmlns', NS);
  whole.setAttribute('viewBox', `0 0 ${width} ${height}`);
  whole.setAttribute('width', String(width));
  whole.setAttribute('height', String(height));
  const back = document.createElementNS(NS, 'rect');
  back.setAttribute('width', '100%');
  back.setAttribute('height', '100%');
  back.setAttribute('fill', getComputedStyle(document.documentElement).getPropertyValue('--panel').trim());
  whole.append(back);
  let y = 0;
  svgs.forEach((svg, i) => {
    const part = standalone(svg);
    part.setAttribute('y', String(y));
    part.setAttribute('width', String(boxes[i].width));
    part.setAttribute('height', String(boxes[i].height));
    whole.append(part);
    y += boxes[i].height;
  });
  return { text: new XMLSerializer().serializeToString(whole), width, height };
}

/** The same as a PNG, at twice the size. */
export async function pngOf(svgs: readonly SVGSVGElement[]): Promise<Blob> {
  const { text, width, height } = svgText(svgs);
  const image = new Image();
  const url = URL.createObjectURL(new Blob([text], { type: 'image/svg+xml' }));
  try {
    image.src = url;
    await image.decode();
    const canvas = document.createElement('canvas');
    [canvas.width, canvas.height] = [2 * width, 2 * height];
    canvas.getContext('2d')!.drawImage(image, 0, 0, canvas.width, canvas.height);
    return await new Promise((resolve, reject) => {
      canvas.toBlob(
        (blob) => (blob ? resolve(blob) : reject(new Error('The picture could not be drawn.'))),
        'image/png',
      );
    });
  } finally {
    URL.revokeObjectURL(url);
  }
}
