package footfall.peers;

import com.fasterxml.jackson.annotation.JsonIgnoreProperties;
import com.fasterxml.jackson.annotation.JsonProperty;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.File;
import java.io.IOException;
import java.util.List;
import java.util.Map;

/** What the peer is told (plan.py); only the parts it needs. */
@JsonIgnoreProperties(ignoreUnknown = true)
record Plan(
        String bootstrap,
        List<String> inputs,
        String output,
        Map<String, String> schemas,
        String model,
        String group,
        @JsonProperty("state_dir") String stateDir) {

    static Plan read(String path) throws IOException {
        return new ObjectMapper().readValue(new File(path), Plan.class);
    }
}
