package footfall.peers;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import org.apache.avro.generic.GenericRecord;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueStore;

/** The job of small.py: count and sum of a customer's events of five fields. */
final class SmallProcessor implements Processor<Bytes, byte[], Bytes, byte[]> {

    private final Decoder decoder;
    private final int customer;
    private final int amount;
    private ProcessorContext<Bytes, byte[]> context;
    private KeyValueStore<Bytes, byte[]> store;

    SmallProcessor(Plan plan) {
        try {
            decoder = new Decoder(plan.schemas().get(plan.inputs().get(0)));
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
        customer = decoder.position("customer_id");
        amount = decoder.position("amount");
    }

    @Override
    public void init(ProcessorContext<Bytes, byte[]> context) {
        this.context = context;
        store = context.getStateStore(Main.STORE);
    }

    @Override
    public void process(Record<Bytes, byte[]> record) {
        GenericRecord event = decoder.decode(record.value());
        byte[] held = store.get(record.key());
        long count = 1;
        long sum = (Long) event.get(amount);
        if (held != null) {
            ByteBuffer state = ByteBuffer.wrap(held);
            count += state.getLong();
            sum += state.getLong();
        }
        store.put(record.key(), ByteBuffer.allocate(2 * Long.BYTES).putLong(count).putLong(sum).array());
        String message = "{\"customer_id\":\"" + event.get(customer) + "\",\"count\":" + count + ",\"sum\":" + sum + "}";
        context.forward(record.withValue(message.getBytes(StandardCharsets.UTF_8)));
    }
}
