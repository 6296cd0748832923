/**
 * What the programs that run proofs for long share: counts and names of proofs from the command line, lines to stdout.
 */

/** Writes one line to stdout, at once. */
export function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

/** A count from the command line, or `otherwise` where none was told. Throws for anything that is none. */
export function countOption(name: string, told: string | undefined, otherwise: number): number {
  const value = told === undefined ? otherwise : Number(told);
  if (!(value > 0)) throw new Error(`--${name} ${String(told)} is no count`);
  return value;
}

/** The proofs whose names begin as one of the words parted by commas; all where nothing was told. Throws for a word without. */
export function chosenProofs<Named extends { name: string }>(told: string | undefined, proofs: readonly Named[]): Named[] {
  const wanted = told?.split(',') ?? [''];
  const lost = wanted.find((begin) => !proofs.some((proof) => proof.name.startsWith(begin)));
  if (lost !== undefined) throw new Error(`no proof ${lost}; there are ${proofs.map((proof) => proof.name).join(', ')}`);
  return proofs.filter((proof) => wanted.some((begin) => proof.name.startsWith(begin)));
}
