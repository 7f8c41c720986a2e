package footfall.peers;

import com.fasterxml.jackson.annotation.JsonIgnoreProperties;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.File;
import java.io.IOException;

/** River's StandardScaler | LogisticRegression written out, as job.py `probability` has it: Java has no River. */
final class Model {

    private static final int SUMS = State.WINDOWS.length * Buckets.MEASURES;
    private static final int FEATURES = SUMS + 4;

    @JsonIgnoreProperties(ignoreUnknown = true)
    private record Told(double[] means, double[] variances, double[] weights, double intercept) {}

    private final double[] slopes = new double[FEATURES];
    private double intercept;

    static Model read(String path) throws IOException {
        return new Model(new ObjectMapper().readValue(new File(path), Told.class));
    }

    private Model(Told told) {
        if (told.weights().length != FEATURES) {
            throw new IllegalArgumentException("the model has " + told.weights().length + " features, not " + FEATURES);
        }
        // weight * (x - mean) / deviation is slope * x + a constant; the constants go into the intercept once.
        intercept = told.intercept();
        for (int i = 0; i < FEATURES; i++) {
            if (told.variances()[i] > 0) {
                slopes[i] = told.weights()[i] / Math.sqrt(told.variances()[i]);
                intercept -= slopes[i] * told.means()[i];
            }
        }
    }

    double probability(State state, long[] sums) {
        double odds = intercept;
        for (int i = 0; i < SUMS; i++) {
            odds += slopes[i] * Math.log1p(sums[i]);
        }
        double sinceOrder = state.lastOrder == 0 ? 365.0 : (double) (state.asOf - state.lastOrder) / State.DAY;
        odds += slopes[SUMS] * Math.log1p(state.orders);
        odds += slopes[SUMS + 1] * Math.log1p(state.revenue);
        odds += slopes[SUMS + 2] * Math.log1p(sinceOrder);
        odds += slopes[SUMS + 3] * Math.log1p((double) (state.asOf - state.firstSeen) / State.DAY);
        return 1.0 / (1.0 + Math.exp(-odds));
    }
}
