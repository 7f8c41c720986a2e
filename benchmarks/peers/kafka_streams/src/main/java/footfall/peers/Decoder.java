package footfall.peers;

import java.io.File;
import java.io.IOException;
import org.apache.avro.Schema;
import org.apache.avro.generic.GenericDatumReader;
import org.apache.avro.generic.GenericRecord;
import org.apache.avro.io.BinaryDecoder;
import org.apache.avro.io.DecoderFactory;

/** Decodes the whole record of one topic, as every peer does. Decoder and record are used again for the next. */
final class Decoder {

    private static final int HEADER_BYTES = 5; // zero, and four of the schema's id
    private final GenericDatumReader<GenericRecord> reader;
    private final Schema schema;
    private BinaryDecoder bytes;
    private GenericRecord record;

    Decoder(String path) throws IOException {
        schema = new Schema.Parser().parse(new File(path));
        reader = new GenericDatumReader<>(schema);
        reader.getData().setFastReaderEnabled(true);
    }

    /** Where a field stands in the record, -1 when the topic has none of that name. */
    int position(String field) {
        Schema.Field found = schema.getField(field);
        return found == null ? -1 : found.pos();
    }

    GenericRecord decode(byte[] value) {
        bytes = DecoderFactory.get().binaryDecoder(value, HEADER_BYTES, value.length - HEADER_BYTES, bytes);
        try {
            record = reader.read(record, bytes);
        } catch (IOException error) {
            throw new IllegalArgumentException("not a record of " + schema.getFullName(), error);
        }
        return record;
    }
}
