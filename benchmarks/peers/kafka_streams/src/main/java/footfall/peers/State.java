package footfall.peers;

import java.nio.ByteBuffer;

/** A customer's state and the arithmetic of job.py, in longs. One object is used for every customer in turn. */
final class State {

    static final int ORDERED = 4;
    static final String[] WINDOWS = {"1h", "24h", "7d", "30d"};
    private static final long MINUTE = 60_000;
    private static final long HOUR = 60 * MINUTE;
    static final long DAY = 24 * HOUR;
    private static final int HEAD_BYTES = 6 * Long.BYTES;

    long asOf;
    long firstSeen;
    long lastSeen;
    long lastOrder;
    long orders;
    long revenue;
    private final Buckets fives = new Buckets(5 * MINUTE, 12);
    private final Buckets hours = new Buckets(HOUR, 24);
    private final Buckets days = new Buckets(DAY, 30);

    /** Take an event. `measure`: what it adds 1 to besides the events, -1 for nothing. */
    void take(long time, int measure, long paid) {
        firstSeen = firstSeen == 0 ? time : Math.min(firstSeen, time);
        lastSeen = Math.max(lastSeen, time);
        if (measure == ORDERED) {
            orders++;
            revenue += paid;
            lastOrder = Math.max(lastOrder, time);
        }
        long before = asOf;
        asOf = Math.max(before, time);
        fives.move(before, asOf);
        hours.move(before, asOf);
        days.move(before, asOf);
        fives.add(time, asOf, measure, paid);
        hours.add(time, asOf, measure, paid);
        days.add(time, asOf, measure, paid);
    }

    /** The sums of the four windows at the state's instant, six after six. */
    void totals(long[] into) {
        fives.total(asOf, 12, into, 0);
        hours.total(asOf, 24, into, Buckets.MEASURES);
        days.total(asOf, 7, into, 2 * Buckets.MEASURES);
        days.total(asOf, 30, into, 3 * Buckets.MEASURES);
    }

    /** Become the customer whose bytes these are; null for one nobody has seen. */
    void read(byte[] bytes) {
        if (bytes == null) {
            asOf = firstSeen = lastSeen = lastOrder = orders = revenue = 0;
            fives.clear();
            hours.clear();
            days.clear();
            return;
        }
        ByteBuffer in = ByteBuffer.wrap(bytes);
        asOf = in.getLong();
        firstSeen = in.getLong();
        lastSeen = in.getLong();
        lastOrder = in.getLong();
        orders = in.getLong();
        revenue = in.getLong();
        fives.read(in);
        hours.read(in);
        days.read(in);
    }

    byte[] write() {
        ByteBuffer out = ByteBuffer.allocate(HEAD_BYTES + fives.bytes() + hours.bytes() + days.bytes());
        out.putLong(asOf).putLong(firstSeen).putLong(lastSeen).putLong(lastOrder).putLong(orders).putLong(revenue);
        fives.write(out);
        hours.write(out);
        days.write(out);
        return out.array();
    }
}
