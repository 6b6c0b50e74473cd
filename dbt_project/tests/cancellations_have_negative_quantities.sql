select *
from {{ ref('stg_orders__lines') }}
where is_cancellation and quantity >= 0
