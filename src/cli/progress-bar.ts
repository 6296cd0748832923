/**
 * A progress bar on a terminal: one line that is drawn over itself, and taken away before anything else is printed.
 * Where there is no terminal it does nothing. Steps under a percent are not drawn.
 */
import type { WriteStream } from 'node:tty';

const WIDTH = 40;

export class ProgressBar {
  private drawnPercent = -1;

  constructor(
    private readonly label: string,
    private readonly stream: Pick<WriteStream, 'isTTY' | 'write'> = process.stderr,
  ) {}

  /** Shows a share from 0 to 1. */
  show(share: number): void {
    const percent = Math.floor(Math.min(1, Math.max(0, share)) * 100);
    if (!this.stream.isTTY || percent === this.drawnPercent) return;
    this.drawnPercent = percent;
    const filled = Math.round((percent * WIDTH) / 100);
    this.stream.write(`\r${this.label} [${'#'.repeat(filled)}${'.'.repeat(WIDTH - filled)}] ${percent} %`);
  }

  /** Takes the bar away. */
  clear(): void {
    if (this.drawnPercent < 0) return;
    this.drawnPercent = -1;
    this.stream.write('\r\x1b[K');
  }
}
