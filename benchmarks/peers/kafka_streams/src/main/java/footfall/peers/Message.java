package footfall.peers;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonGenerator;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;

/** The profile as JSON, as job.py `message` writes it. */
final class Message {

    private final JsonFactory factory = new JsonFactory();
    private final ByteArrayOutputStream out = new ByteArrayOutputStream(1024);

    byte[] of(String customer, State state, long[] sums, double churn) {
        out.reset();
        try (JsonGenerator json = factory.createGenerator(out)) {
            json.writeStartObject();
            json.writeStringField("customer_id", customer);
            json.writeNumberField("as_of", state.asOf);
            json.writeNumberField("first_seen", state.firstSeen);
            json.writeNumberField("last_seen", state.lastSeen);
            json.writeNumberField("last_order", state.lastOrder);
            json.writeNumberField("orders", state.orders);
            json.writeNumberField("revenue", state.revenue);
            json.writeObjectFieldStart("windows");
            for (int w = 0; w < State.WINDOWS.length; w++) {
                json.writeFieldName(State.WINDOWS[w]);
                json.writeArray(sums, w * Buckets.MEASURES, Buckets.MEASURES);
            }
            json.writeEndObject();
            json.writeNumberField("churn", Math.rint(churn * 1e6) / 1e6);
            json.writeEndObject();
        } catch (IOException error) {
            throw new UncheckedIOException(error); // a buffer in memory has none
        }
        return out.toByteArray();
    }
}
