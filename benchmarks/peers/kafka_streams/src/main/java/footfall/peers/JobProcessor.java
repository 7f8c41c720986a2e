package footfall.peers;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.HashMap;
import java.util.Map;
import org.apache.avro.generic.GenericRecord;
import org.apache.avro.util.Utf8;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueStore;

/** Event in, state from the store and back, profile out. One for each task, so it may keep what it works with. */
final class JobProcessor implements Processor<Bytes, byte[], Bytes, byte[]> {

    private static final Map<Utf8, Integer> COUNTED = Map.of(
            new Utf8("page_viewed"), 1, new Utf8("product_viewed"), 2,
            new Utf8("product_added"), 3, new Utf8("order_completed"), State.ORDERED);

    /** How to read a topic's records. */
    private record Reading(Decoder decoder, int time, int customer, int name, int revenue) {}

    private final Map<String, Reading> readings = new HashMap<>();
    private final Model model;
    private final State state = new State();
    private final Message message = new Message();
    private final long[] sums = new long[State.WINDOWS.length * Buckets.MEASURES];
    private ProcessorContext<Bytes, byte[]> context;
    private KeyValueStore<Bytes, byte[]> store;

    JobProcessor(Plan plan, Model model) {
        this.model = model;
        plan.schemas().forEach((topic, path) -> readings.put(topic, reading(path)));
    }

    private static Reading reading(String path) {
        try {
            Decoder of = new Decoder(path);
            return new Reading(
                    of, of.position("event_time"), of.position("customer_id"), of.position("name"), of.position("revenue"));
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
    }

    @Override
    public void init(ProcessorContext<Bytes, byte[]> context) {
        this.context = context;
        store = context.getStateStore(Main.STORE);
    }

    @Override
    public void process(Record<Bytes, byte[]> record) {
        if (record.value() == null) {
            return; // a clock marker
        }
        Reading reading = readings.get(context.recordMetadata().orElseThrow().topic());
        GenericRecord event = reading.decoder().decode(record.value());
        int measure = COUNTED.getOrDefault(event.get(reading.name()), -1);
        long revenue = measure == State.ORDERED ? (Long) event.get(reading.revenue()) : 0;
        state.read(store.get(record.key()));
        state.take((Long) event.get(reading.time()), measure, revenue);
        store.put(record.key(), state.write());
        state.totals(sums);
        String customer = event.get(reading.customer()).toString();
        context.forward(record.withValue(message.of(customer, state, sums, model.probability(state, sums))));
    }
}
