package footfall.peers;

import java.nio.ByteBuffer;
import java.util.Arrays;

/** The buckets of one width: number and six sums each, at most as many as a window holds. */
final class Buckets {

    static final int MEASURES = 6;
    private static final int BYTES = Integer.BYTES + (MEASURES - 1) * Integer.BYTES + Long.BYTES;
    private final long width;
    private final int most;
    private final long[] numbers;
    private final long[] sums;
    private int held;

    Buckets(long width, int most) {
        this.width = width;
        this.most = most;
        numbers = new long[most];
        sums = new long[most * MEASURES];
    }

    /** Forget what no window ending at `instant` holds. */
    void move(long before, long instant) {
        long now = Math.floorDiv(instant, width);
        if (Math.floorDiv(before, width) == now) {
            return;
        }
        int kept = 0;
        for (int i = 0; i < held; i++) {
            if (numbers[i] > now - most) {
                numbers[kept] = numbers[i];
                System.arraycopy(sums, i * MEASURES, sums, kept++ * MEASURES, MEASURES);
            }
        }
        held = kept;
    }

    /** Add an event, unless its bucket has left the longest window already. `measure` < 0: none but the events. */
    void add(long time, long asOf, int measure, long revenue) {
        long number = Math.floorDiv(time, width);
        if (number <= Math.floorDiv(asOf, width) - most) {
            return;
        }
        int at = find(number) * MEASURES;
        sums[at]++;
        if (measure >= 0) {
            sums[at + measure]++;
        }
        sums[at + MEASURES - 1] += revenue;
    }

    private int find(long number) {
        for (int i = held - 1; i >= 0; i--) { // the newest stands last, and is meant nearly always
            if (numbers[i] == number) {
                return i;
            }
        }
        numbers[held] = number;
        Arrays.fill(sums, held * MEASURES, (held + 1) * MEASURES, 0);
        return held++;
    }

    /** The six sums of the window of `count` buckets that ends at `instant`, written to `into` from `at` on. */
    void total(long instant, int count, long[] into, int at) {
        long first = Math.floorDiv(instant, width) - count;
        Arrays.fill(into, at, at + MEASURES, 0);
        for (int i = 0; i < held; i++) {
            if (numbers[i] > first) {
                for (int m = 0; m < MEASURES; m++) {
                    into[at + m] += sums[i * MEASURES + m];
                }
            }
        }
    }

    int bytes() {
        return Integer.BYTES + held * BYTES;
    }

    void write(ByteBuffer out) {
        out.putInt(held);
        for (int i = 0; i < held; i++) {
            out.putInt((int) numbers[i]); // even 5-minute numbers since the epoch fit for 20 000 years
            int at = i * MEASURES;
            for (int m = 0; m < MEASURES - 1; m++) {
                out.putInt((int) sums[at + m]);
            }
            out.putLong(sums[at + MEASURES - 1]);
        }
    }

    void read(ByteBuffer in) {
        held = in.getInt();
        for (int i = 0; i < held; i++) {
            numbers[i] = in.getInt();
            int at = i * MEASURES;
            for (int m = 0; m < MEASURES - 1; m++) {
                sums[at + m] = in.getInt();
            }
            sums[at + MEASURES - 1] = in.getLong();
        }
    }

    void clear() {
        held = 0;
    }
}
