// The difference of two texts, by lines and within changed lines.

const LARGEST = 4_000_000;

/** The longest common subsequence of two lists, as pairs of indexes. */
function common(left, right) {
  let start = 0;
  while (start < left.length && start < right.length && left[start] === right[start]) start += 1;
  let end = 0;
  while (end < left.length - start && end < right.length - start && left.at(-1 - end) === right.at(-1 - end)) end += 1;
  const rows = left.length - start - end;
  const columns = right.length - start - end;
  const pairs = Array.from({ length: start }, (_, index) => [index, index]);
  if (rows * columns <= LARGEST) pairs.push(...table(left, right, start, rows, columns));
  for (let index = end; index > 0; index -= 1) pairs.push([left.length - index, right.length - index]);
  return pairs;
}

function table(left, right, start, rows, columns) {
  const lengths = Array.from({ length: rows + 1 }, () => new Uint32Array(columns + 1));
  for (let row = rows - 1; row >= 0; row -= 1) {
    for (let column = columns - 1; column >= 0; column -= 1) {
      lengths[row][column] =
        left[start + row] === right[start + column]
          ? lengths[row + 1][column + 1] + 1
          : Math.max(lengths[row + 1][column], lengths[row][column + 1]);
    }
  }
  const pairs = [];
  let row = 0;
  let column = 0;
  while (row < rows && column < columns) {
    if (left[start + row] === right[start + column]) {
      pairs.push([start + row, start + column]);
      row += 1;
      column += 1;
    } else if (lengths[row + 1][column] >= lengths[row][column + 1]) row += 1;
    else column += 1;
  }
  return pairs;
}

/** Rows of both texts side by side: `{left, right, changed}` with `{number, text}`, or null where a side has no line. */
export function sideBySide(leftText, rightText) {
  const left = leftText.split("\n");
  const right = rightText.split("\n");
  const rows = [];
  let from = [0, 0];
  for (const [leftIndex, rightIndex] of [...common(left, right), [left.length, right.length]]) {
    const gone = leftIndex - from[0];
    const added = rightIndex - from[1];
    for (let index = 0; index < Math.max(gone, added); index += 1) {
      rows.push({
        left: index < gone ? { number: from[0] + index + 1, text: left[from[0] + index] } : null,
        right: index < added ? { number: from[1] + index + 1, text: right[from[1] + index] } : null,
        changed: true,
      });
    }
    if (leftIndex < left.length) {
      rows.push({
        left: { number: leftIndex + 1, text: left[leftIndex] },
        right: { number: rightIndex + 1, text: right[rightIndex] },
        changed: false,
      });
    }
    from = [leftIndex + 1, rightIndex + 1];
  }
  return rows;
}

const WORD = /[\p{L}\p{N}_$]+|\s+|[^\p{L}\p{N}_$\s]/gu;

/** The parts of two changed lines, each `{text, changed}`. */
export function words(leftLine, rightLine) {
  const left = leftLine.match(WORD) ?? [];
  const right = rightLine.match(WORD) ?? [];
  const pairs = common(left, right);
  const parts = (tokens, kept) => tokens.map((text, index) => ({ text, changed: !kept.has(index) }));
  return [parts(left, new Set(pairs.map((pair) => pair[0]))), parts(right, new Set(pairs.map((pair) => pair[1])))];
}
